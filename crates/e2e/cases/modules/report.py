"""Nodes and workflows of one name in several files."""

import customers
import sales
from qflow import map, workflow


@workflow
def summary(x: int = 1) -> list[object]:
    both = [sales.load(x), customers.load(x)]
    return [both, map(customers.load, both), sales.summary(x), customers.summary(x)]


if __name__ == "__main__":
    print(summary())
