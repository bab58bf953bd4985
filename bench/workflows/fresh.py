"""Four nodes one after another, each in a fresh container: as many as the pool holds."""

from qflow import node, workflow


@node(isolation="node")
def step(n: int) -> int:
    return n + 1


@workflow
def fresh(start: int = 0) -> int:
    n0 = step(start)
    n1 = step(n0)
    n2 = step(n1)
    n3 = step(n2)
    return n3
