"""Enums and records that come from the command line."""

from dataclasses import dataclass, field
from datetime import date
from enum import Enum, IntEnum
from typing import Dict, List, NamedTuple, Optional, TypedDict

from qflow import node, workflow


class Unit(Enum):
    DAY = "day"
    HOUR = "hour"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Owner:
    name: str
    since: date = date(2020, 1, 1)
    unit: Unit = Unit.DAY
    tags: List[str] = field(default_factory=list)
    boss: "Optional[Owner]" = None


class Pair(NamedTuple):
    x: int
    y: float = 0.5


class Order(TypedDict):
    owner: Owner
    pairs: List[Pair]


@dataclass
class Own:
    """What it takes only its initialiser says."""

    total: int

    def __init__(self, first: int, second: int) -> None:
        self.total = first + second


@node
def units(unit: Unit, level: Level, by: Dict[Unit, int]) -> List[str]:
    return [repr(unit), repr(level), repr(sorted(by.items(), key=repr))]


@node
def order_of(order: Order) -> str:
    return repr(order)


@node
def name_of(name: str) -> str:
    return name.upper()


@node
def own_of(own: Own) -> int:
    return own.total


@workflow
def enums(unit: Unit, level: Level = Level.LOW, by: Dict[Unit, int] = {}) -> List[str]:
    return units(unit, level, by)


@workflow
def records(order: Order) -> str:
    return order_of(order)


@workflow
def field_of(owner: Owner) -> str:
    return name_of(owner.name)


@node
def next_of(unit: Unit) -> Unit:
    return Unit.HOUR if unit == Unit.DAY else Unit.DAY


@workflow
def chosen(unit: Unit = Unit.DAY, other: Optional[Unit] = None) -> str:
    if unit == Unit.HOUR:
        return name_of("hour")
    then = next_of(unit)
    if other != Unit.DAY and then in (Unit.HOUR,):
        return name_of("then an hour")
    return name_of("day")


@workflow
def opaque(own: Own) -> int:
    return own_of(own)
