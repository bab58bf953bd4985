"""Two nodes that do not fit together: refused, and counted."""

from qflow import node, workflow


@node
def number() -> int:
    return 1


@node
def shout(text: str) -> str:
    return text.upper()


@workflow
def unfit() -> str:
    return shout(number())  # type: ignore[arg-type]
