"""Plain functions, used by nodes."""

from .types import Customer


def headline(customer: Customer, total: float, year: int) -> str:
    return f"{year}: {customer.name} spent {total:.2f}"
