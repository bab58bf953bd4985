import shop.orders
import shop.rules.rebates
from qflow import map, workflow


@workflow
def daily(ids: list[int] = [1, 2]) -> list[str]:
    orders = map(shop.orders.load, ids)
    return map(shop.orders.bill, orders, percent=shop.rules.rebates.PERCENT)


if __name__ == "__main__":
    print(daily())
