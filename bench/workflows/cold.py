"""One node in a container that no pool can have ahead of need: its folder for temporary files has a size of its own."""

from qflow import node, workflow


@node(tmp="65MiB")
def once(n: int) -> int:
    return n + 1


@workflow
def cold(start: int = 0) -> int:
    return once(start)
