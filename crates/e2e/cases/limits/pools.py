"""Slots that runs share, and starts a minute."""

import time

from qflow import map, node, workflow


@node(pool="database")
def load(number: int, seconds: float) -> list[float]:
    began = time.time()
    time.sleep(seconds)
    return [began, time.time()]


@node(pool="api")
def call(number: int) -> int:
    return number


@node(max_parallel=2)
def alone(number: int) -> list[float]:
    began = time.time()
    time.sleep(0.4)
    return [began, time.time()]


@workflow
def loads(numbers: list[int], seconds: float = 0.4) -> list[list[float]]:
    return map(load, numbers, seconds=seconds)


@workflow
def calls(numbers: list[int]) -> list[int]:
    return map(call, numbers)


@workflow
def few(numbers: list[int]) -> list[list[float]]:
    return map(alone, numbers)
