from dataclasses import dataclass

from qflow import node

from .rules.rebates import rebate


@dataclass
class Order:
    id: int
    amount: int


@node
def load(id: int) -> Order:
    return Order(id, 100 * id)


@node
def bill(order: Order, percent: int) -> str:
    return f"order {order.id}: {order.amount - rebate(order.amount, percent)}"
