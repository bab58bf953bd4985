"""Values of classes between nodes: rebuilt as they are declared, in whichever file of the submission."""

import dataclasses
import datetime
import enum
from typing import Dict, Generic, List, NamedTuple, NewType, Optional, Set, TypeVar, Union

from qflow import node, workflow

from shapes.parts import Colour, Part  # type: ignore[attr-defined]

T = TypeVar("T")
Meters = NewType("Meters", float)
Rows = List[Dict[str, float]]


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: float = 0.5


@dataclasses.dataclass(frozen=True)
class Box(Generic[T]):
    item: T
    parts: List[Part] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Computed:
    a: int
    scale: dataclasses.InitVar[int] = 2
    b: int = dataclasses.field(init=False)

    def __post_init__(self, scale: int) -> None:
        self.b = self.a * scale


@dataclasses.dataclass
class Order:
    box: Box[Point]
    day: datetime.date
    levels: Set[Level]
    by_colour: Dict[Colour, List[Part]]
    rights: Rights
    computed: Computed
    length: Meters
    note: Optional[Union[str, Part]] = None


@node
def make(part: Part, day: datetime.date) -> Order:
    return Order(
        Box(Point(1), [part, Part("b", Colour.BLUE)]), day, {Level.LOW, Level.HIGH}, {Colour.RED: [part]}, Rights.READ | Rights.WRITE,
        Computed(3), Meters(2.5), Part("n"),
    )  # fmt: skip


@node
def boxed(order: Order) -> Box[Point]:
    assert isinstance(order.box, Box) and isinstance(order.box.item, Point), order
    assert all(isinstance(part, Part) and isinstance(part.colour, Colour) for part in order.box.parts), order
    assert order.levels == {Level.LOW, Level.HIGH} and all(isinstance(level, Level) for level in order.levels), order
    assert order.by_colour[Colour.RED][0].colour is Colour.RED, order
    assert order.rights == Rights.READ | Rights.WRITE and order.computed.b == 6, order
    return order.box


@node
def told(order: Order, box: Box[Point], maybe: Optional[Part] = None) -> List[str]:
    return [type(order).__name__, str(order.day), str(order.computed.b), box.item.__class__.__name__, str(box.item.y),
            ",".join(sorted(part.name for part in box.parts)), type(order.note).__name__, type(maybe).__name__]  # fmt: skip


@workflow
def main(name: str = "a", day: datetime.date = datetime.date(2026, 11, 25)) -> List[str]:
    order = make(parted(name), day)
    box = boxed(order)
    return told(order, box, box_part(box))


@node
def parted(name: str) -> Part:
    return Part(name, Colour.RED)


@node
def box_part(box: Box[Point]) -> Part:
    return box.parts[0]


CASES = [{}, {"name": "z"}]
