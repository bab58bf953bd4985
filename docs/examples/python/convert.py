from datetime import date
from decimal import Decimal
from typing import TypedDict

from qflow import node, workflow


class Sale(TypedDict):
    day: date
    amount: Decimal


@node
def read(month: str) -> list[dict[str, str]]:
    return [{"day": f"{month}-01", "amount": "19.90"}, {"day": f"{month}-02", "amount": "5"}]


@node(convert=True)
def days(sales: list[Sale]) -> list[date]:
    return [sale["day"] for sale in sales]


@node(convert=True)
def total(sales: list[Sale]) -> Decimal:
    return sum((sale["amount"] for sale in sales), Decimal(0))


@node
def span(days: tuple[date, ...]) -> tuple[date, date]:
    return min(days), max(days)


@node
def report(first: str, last: str, total: str) -> str:
    return f"{first} to {last}: {total}"


@workflow
def convert(month: str = "2026-11") -> str:
    sales = read(month)
    first, last = span(days(sales))  # type: ignore[arg-type]
    return report(first, last, total(sales))  # type: ignore[arg-type]
