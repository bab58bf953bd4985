from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import NamedTuple, TypedDict
from uuid import UUID

from qflow import node, workflow


class Colour(Enum):
    RED = "r"


class Point(NamedTuple):
    x: int
    y: float


class Row(TypedDict):
    day: date
    amount: Decimal


@dataclass(frozen=True)
class Order:
    id: UUID
    rows: list[Row]
    colour: Colour = Colour.RED


@node
def order() -> Order:
    return Order(UUID(int=7), [{"day": date(2026, 11, 24), "amount": Decimal("1.50")}])


@node
def more() -> tuple[Point, set[int], bytes, datetime, timedelta]:
    return Point(1, 2.5), {3, 1}, b"\x00\xff", datetime(2026, 11, 24, tzinfo=timezone.utc), timedelta(hours=1)


@node
def show(order: Order, more: tuple[Point, set[int], bytes, datetime, timedelta]) -> list[str]:
    point, numbers, *_ = more
    return [type(order).__name__, type(order.rows[0]["amount"]).__name__, str(order.colour), repr(point), str(sorted(numbers))]


@workflow
def values() -> tuple[Order, list[str]]:
    made = order()
    return made, show(made, more())
