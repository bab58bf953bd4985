"""What the other file needs."""

import enum


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"
