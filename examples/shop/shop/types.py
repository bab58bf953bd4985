"""What travels between the nodes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Customer:
    id: int
    name: str


@dataclass(frozen=True)
class Turnover:
    customer: Customer
    orders: int
    total: float
