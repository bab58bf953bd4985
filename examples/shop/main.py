"""A pipeline over several modules: types, nodes and queries each have their place.

qflow run examples/shop/main.py -p year=2026
"""

from qflow import map, node, workflow

from shop.nodes import customers, orders_of
from shop.types import Customer, Turnover
from shop.words import headline


@node
def summary(turnover: list[Turnover], year: int) -> str:
    best = max(turnover, key=lambda each: each.total)
    return headline(best.customer, best.total, year)


@workflow
def shop(year: int = 2026) -> tuple[str, list[Turnover]]:
    turnover = map(orders_of, customers(), year=year)
    return summary(turnover, year), turnover


if __name__ == "__main__":
    print(shop())
