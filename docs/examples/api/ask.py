"""Waits for somebody's yes."""

from qflow import approval, node, workflow


@node
def publish(approved: bool) -> str:
    return "published" if approved else "kept"


@workflow
def ask() -> str:
    approved = approval("editor", timeout="2d")
    return publish(approved)
