"""Values of the standard library between nodes, in and out, defaults of workflows among them."""

import datetime as dt
import enum
import uuid
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from qflow import node, workflow


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Point(NamedTuple):
    x: int
    y: float


@node
def make(day: date, step: timedelta, colour: Colour) -> dict[str, object]:
    return {
        "next": day + step,
        "decimal": Decimal("1.50"),
        "uuid": uuid.UUID(int=7),
        "set": {3, 1, 2},
        "bytes": b"\x00\xff",
        "tuple": (1, "a", None),
        "big": 2**70,
        "inf": float("inf"),
        "colour": colour,
        "point": Point(1, 2.5),
        "keys": {1: "one", (2, 3): "pair"},
        "at": dt.datetime(2026, 11, 24, 12, 30, tzinfo=dt.timezone.utc),
        "text": "naïve \U0001f600 \x00",
        "$": "dollar",
    }


@node
def check(values: dict[str, object]) -> dict[str, str]:
    return {key: f"{type(value).__name__} {value!r}" for key, value in values.items()}


@workflow
def main(day: date = date(2026, 11, 24), step: timedelta = timedelta(days=1, hours=2), colour: Colour = Colour.BLUE) -> dict[str, str]:
    return check(make(day, step, colour))


CASES: list[dict[str, object]] = [{}]
