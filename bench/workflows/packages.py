"""One node with packages; `REQUESTS` is a version, so that a measurement can ask for a set that nobody has asked for before."""

from qflow import node, workflow


@node(requirements=["requests==REQUESTS", "numpy==2.2.6", "pandas==2.2.3"])
def uses(n: int) -> int:
    return n + 1


@workflow
def packages(start: int = 0) -> int:
    return uses(start)
