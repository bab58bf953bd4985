"""Fails, so that it can be retried."""

from qflow import node, workflow


@node
def divide(by: int) -> float:
    return 1 / by


@workflow
def fails(by: int = 0) -> float:
    return divide(by)
