"""Prices of the shop, by files beside this one."""

from decimal import Decimal

from qflow import node

from .types import Price, Row

REBATE = 10


@node(python="3.13")
def price(row: Row, rebate: int) -> Price:
    assert type(row) is Row, type(row)
    return Price(row.name, Decimal(row.pence - rebate) / 100)


@node
def total(prices: list[Price]) -> Decimal:
    return sum((price.amount for price in prices), Decimal(0))
