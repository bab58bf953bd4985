"""A workflow beside a package that lies in `src`, whose files are named through their folders."""

import shop.deep.rows
import shop.prices
from qflow import map, workflow
from shop import VERSION


@workflow
def main(names: list[str] = ["tea", "milk"], version: int = VERSION) -> dict[str, object]:
    rows = shop.deep.rows.read(names)
    prices = map(shop.prices.price, rows, rebate=shop.prices.REBATE)
    return {"total": shop.prices.total(prices), "first": prices[0], "version": version}


if __name__ == "__main__":
    print(main())
