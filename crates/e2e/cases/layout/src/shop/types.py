"""What the shop's nodes give one another."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass
class Row:
    name: str
    pence: int


@dataclass
class Price:
    name: str
    amount: Decimal
