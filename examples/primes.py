"""A CPU-bound fan-out with a join: counts primes, a slice of the numbers per element.

    qflow run examples/primes.py -p upto=200000 -p slices=20
"""

from __future__ import annotations

from qflow import map, node, workflow


@node
def cut(upto: int, slices: int) -> list[list[int]]:
    step = -(-upto // slices)
    return [[start, min(start + step, upto)] for start in range(0, upto, step)]


@node(retries=2)
def count(part: list[int]) -> int:
    low, high = part
    found = 0
    for number in range(max(low, 2), high):
        divisor = 2
        while divisor * divisor <= number and number % divisor:
            divisor += 1
        found += divisor * divisor > number
    print(f"{low}–{high}: {found}")
    return found


@node
def total(counts: list[int]) -> int:
    return sum(counts)


@workflow
def primes(upto: int = 100_000, slices: int = 20) -> int:
    return total(map(count, cut(upto, slices)))


if __name__ == "__main__":
    print(primes())
