"""A mapped workflow whose nodes take a while: for a server that is killed meanwhile."""

import time

from qflow import map, node, workflow


@node
def numbers(count: int) -> list[int]:
    return list(range(count))


@node
def square(n: int) -> int:
    print(f"squares {n}")
    time.sleep(0.2)
    return n * n


@node
def more(n: int, by: int = 1) -> int:
    time.sleep(0.1)
    return n + by


@node
def total(ns: list[int]) -> int:
    return sum(ns)


@workflow
def one(n: int) -> int:
    return more(square(n))


@workflow
def main(count: int) -> int:
    return total(map(one, numbers(count)))


CASES = [{"count": 2}]
