"""Spans of user code inside one another, of nodes that run at the same time."""

import asyncio

import qflow
from qflow import node, workflow


@node
def nest() -> int:
    with qflow.span("outer"):
        with qflow.span("first", rows=3):
            with qflow.span("innermost"):
                pass
        with qflow.span("second"):
            pass
    with qflow.span("beside"):
        pass
    return 1


@node
async def gather(after: int) -> int:
    async def one(name: str) -> int:
        with qflow.span(name):
            await asyncio.sleep(0)
            with qflow.span("in " + name):
                await asyncio.sleep(0)
        return after

    with qflow.span("all"):
        return sum(await asyncio.gather(one("a"), one("b")))


@workflow
def main() -> int:
    return gather(nest())
