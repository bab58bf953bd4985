"""A node whose package's index fails when it is asked: that of a test's own."""

from qflow import node, workflow


@node(requirements=["played-silent"])
def unanswered() -> int:
    return 0


@workflow
def is_not_locked() -> int:
    return unanswered()
