"""A node that fails, is tried again twice, and takes its dependants with it: the traceback shows this file's own line.

    qflow run examples/flaky.py; echo $?      # 1
"""

from __future__ import annotations

from qflow import node, workflow


@node
def read(day: str) -> list[float]:
    return [12.5, 7.25, 0.0]


@node(retries=2, backoff="100ms", retry_on=["ZeroDivisionError"])
def ratio(amounts: list[float]) -> float:
    print("dividing by the last amount")
    return amounts[0] / amounts[-1]


@node
def store(value: float) -> str:
    return f"stored {value}"


@workflow
def flaky(day: str = "2026-11-23") -> str:
    return store(ratio(read(day)))


if __name__ == "__main__":
    print(flaky())
