"""Classes of another file of the submission."""

import dataclasses

from .colours import Colour


@dataclasses.dataclass(frozen=True)
class Part:
    name: str
    colour: Colour = Colour.BLUE


@dataclasses.dataclass(frozen=True)
class Priced(Part):
    price: float = 0.0


class Renamed(Part):
    """No field of its own."""
