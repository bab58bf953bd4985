"""A fan-out with a join: work is cut into parts, each part runs by itself, and what comes of them is put together.

    qflow run FILE -p upto=100000 -p parts=8
    qflow test FILE
    python FILE
"""

# /// script
# requires-python = ">=3.9"
# dependencies = []
# ///
from __future__ import annotations

from qflow import map, node, workflow


@node
def cut(upto: int, parts: int) -> list[list[int]]:
    step = -(-upto // parts)
    return [[start, min(start + step, upto)] for start in range(0, upto, step)]


@node(retries=2, timeout="10m", max_parallel=8)
def count(part: list[int], power: int) -> int:
    low, high = part
    found = sum(1 for number in range(low, high) if str(number**power) == str(number**power)[::-1])
    print(f"{low} to {high}: {found}")
    return found


@node
def total(counts: list[int]) -> int:
    return sum(counts)


@workflow
def WORKFLOW(upto: int = 20_000, parts: int = 4, power: int = 2) -> int:
    """How many of the numbers below `upto` have a power that reads the same backwards."""
    return total(map(count, cut(upto, parts), power=power))


if __name__ == "__main__":
    print(WORKFLOW())
