"""A node whose requirements no versions satisfy: of this one the index has 1.0 alone."""

from qflow import node, workflow


@node(requirements=["played-1==99"])
def unlocked() -> int:
    return 0


@workflow
def asks_for_what_there_is_not() -> int:
    return unlocked()
