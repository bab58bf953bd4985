"""What is sold."""

from qflow import node, workflow


@node
def load(x: int) -> str:
    return f"sales {x}"


@workflow
def summary(x: int) -> str:
    return load(x)
