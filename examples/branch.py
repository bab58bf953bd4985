"""A branch whose sides meet again: large orders are reviewed, small ones are not, both are billed.

    qflow run examples/branch.py -p amount=900
"""

from __future__ import annotations

from qflow import node, workflow


@node
def price(amount: float) -> dict[str, float]:
    return {"net": amount, "gross": round(amount * 1.19, 2)}


@node
def review(gross: float) -> str:
    return f"reviewed at {gross:.2f}"


@node
def wave_through() -> str:
    return "not reviewed"


@node
def bill(gross: float, note: str) -> str:
    return f"billed {gross:.2f} ({note})"


@workflow
def branch(amount: float = 100.0) -> str:
    priced = price(amount)
    if priced["gross"] > 500.0:
        note = review(priced["gross"])
    else:
        note = wave_through()
    return bill(priced["gross"], note)


if __name__ == "__main__":
    print(branch())
