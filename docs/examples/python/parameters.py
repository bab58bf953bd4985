from datetime import date, timedelta
from enum import Enum

from qflow import node, workflow

WEEK = 7


class Unit(Enum):
    DAY = "day"
    HOUR = "hour"


@node
def span(first: date, length: timedelta, unit: Unit, labels: list[str]) -> str:
    return f"{first} + {length} by {unit.value}: {', '.join(labels) or 'no labels'}"


@workflow
def parameters(
    first: date, length: timedelta = timedelta(days=2), unit: Unit = Unit.DAY, labels: list[str] = [], days: int = WEEK
) -> tuple[str, int]:
    return span(first, length, unit, labels), days


if __name__ == "__main__":
    print(parameters(date(2026, 11, 24)))
