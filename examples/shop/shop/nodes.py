"""Nodes may live in any module."""

from __future__ import annotations

from qflow import node

from . import database
from .types import Customer, Turnover


@node
def customers() -> list[Customer]:
    with database.connect() as connection:
        return [Customer(*row) for row in connection.execute(database.query("customers"))]


@node(retries=1)
def orders_of(customer: Customer, year: int) -> Turnover:
    with database.connect() as connection:
        count, total = connection.execute(database.query("orders_of"), (customer.id, str(year))).fetchone()
    return Turnover(customer, count, total)
