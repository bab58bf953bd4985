"""A file that does not import."""

from qflow import node, workflow

print("before it breaks")
LIMIT = int("many")


@node
def never() -> int:
    return LIMIT


@workflow
def main() -> int:
    return never()
