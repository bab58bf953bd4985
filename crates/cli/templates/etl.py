"""Extract, transform, load: rows of a day are read, cleaned and summed up by product.

    qflow run FILE -p day=2026-11-24
    qflow test FILE
    python FILE

`extract` reads rows that stand in this file, so that it runs as it is. Yours reads a store: give it `network=True`, and the packages
that it needs, as in `@node(network=True, requirements=["httpx"])` or in the block below.
"""

# /// script
# requires-python = ">=3.9"
# dependencies = []
# ///
from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import date

from qflow import node, workflow

RAW = """\
day,product,amount
2026-11-23,tea,3.50
2026-11-23,coffee,
2026-11-23,tea,4.00
2026-11-24,coffee,2.80
"""


@dataclass
class Sale:
    product: str
    amount: float


@node(retries=3, backoff="1s", timeout="5m")
def extract(day: date) -> list[dict[str, str]]:
    rows = [row for row in csv.DictReader(io.StringIO(RAW)) if row["day"] == day.isoformat()]
    print(f"{len(rows)} rows of {day}")
    return rows


@node
def transform(rows: list[dict[str, str]]) -> list[Sale]:
    return [Sale(row["product"], float(row["amount"])) for row in rows if row["amount"]]


@node
def load(cleaned: list[Sale]) -> dict[str, float]:
    totals: dict[str, float] = {}
    for sale in cleaned:
        totals[sale.product] = totals.get(sale.product, 0.0) + sale.amount
    return totals


@workflow
def WORKFLOW(day: date = date(2026, 11, 23)) -> dict[str, float]:
    rows = extract(day)
    cleaned = transform(rows)
    return load(cleaned)


if __name__ == "__main__":
    print(WORKFLOW())
