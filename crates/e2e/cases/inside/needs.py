"""A file that uses a package while it is imported, which one of its nodes lacks."""

import idna
from qflow import node, workflow

TAKEN = idna.encode("ü")


@node
def plain() -> int:
    return 1


@workflow
def main() -> int:
    return plain()
