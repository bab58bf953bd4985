"""Edges that need `convert=True`, or that nothing converts."""

from typing import List, Tuple

from qflow import map, node, sleep, workflow


@node
def words() -> List[str]:
    return ["1", "2"]


@node
def add(ns: List[int]) -> int:
    return sum(ns)


@node
def double(n: int) -> int:
    return 2 * n


@workflow
def inner(ns: Tuple[str, ...]) -> int:
    return add([1])


@workflow
def main() -> Tuple[str, ...]:
    ws = words()
    add(ws)  # type: ignore[arg-type]
    map(double, ws)  # type: ignore[call-overload]
    inner(ws)  # type: ignore[arg-type]
    sleep(ws)  # type: ignore[arg-type]
    return ws  # type: ignore[return-value]
