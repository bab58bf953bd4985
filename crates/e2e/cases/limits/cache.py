"""Outputs that are kept: a second run finds them, whatever stands beside."""

import os
import time

from qflow import map, node, workflow


@node(cache="7d")
def stamp(name: str) -> list[str]:
    return [name, str(time.time_ns())]


@node(cache=True)
def noise(size: int) -> bytes:
    return os.urandom(size)


@node
def head(content: bytes) -> str:
    return content[:16].hex()


@node(cache="1h")
def fails(name: str) -> str:
    raise ValueError(name)


@workflow
def each(names: list[str]) -> list[list[str]]:
    return map(stamp, names)


@workflow
def large(size: int = 100_000) -> str:
    return head(noise(size))


@workflow
def failing() -> str:
    return fails("never kept")
