"""Who buys it."""

from typing import Any

from qflow import node, workflow


@node
def load(x: Any) -> str:
    return f"customers {x}"


@workflow
def summary(x: int) -> str:
    return load(x)
