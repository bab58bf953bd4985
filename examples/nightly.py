"""A nightly report over the days before a date: dates and durations are parameters, a quiet day takes another way.

qflow run examples/nightly.py -p day=2026-11-25 -p back=2d
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from qflow import map, node, workflow


@dataclass(frozen=True)
class Day:
    day: date
    orders: int
    revenue: Decimal


@node
def days(until: date, back: timedelta) -> list[date]:
    return [until - timedelta(days=n) for n in range(back.days, 0, -1)]


@node(retries=2, backoff="1s")
def read(day: date, price: Decimal) -> Day:
    """Stands for a query: fewer orders at weekends."""
    orders = 0 if day.weekday() == 6 else 10 + day.day
    return Day(day, orders, orders * price)


@node
def revenue(read: list[Day]) -> Decimal:
    return sum((day.revenue for day in read), Decimal(0))


@node
def report(until: date, read: list[Day], revenue: Decimal) -> str:
    lines = [f"{day.day:%a %d %b} {day.orders:>3} {day.revenue:>8}" for day in read]
    return "\n".join([f"Report of {until:%d %B %Y}", *lines, f"{'sum':<10} {revenue:>12}"])


@node
def quiet(until: date) -> str:
    return f"Report of {until:%d %B %Y}: no revenue"


@workflow
def nightly(day: date, back: timedelta = timedelta(days=3), price: Decimal = Decimal("2.50")) -> str:
    found = map(read, days(day, back), price=price)
    earned = revenue(found)
    if not earned:
        return quiet(day)
    return report(day, found, earned)


if __name__ == "__main__":
    print(nightly(date(2026, 11, 25)))
