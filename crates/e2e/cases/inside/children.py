# /// script
# dependencies = ["idna==3.10"]
# ///
"""Processes that nodes start, odd things that they say of themselves, and values that go too deep."""

import multiprocessing
import subprocess
import sys
from typing import Any, List

import qflow
from qflow import map, node, workflow


@node(timeout="60s")
def pooled(method: str) -> List[int]:
    with multiprocessing.get_context(method).Pool(2) as pool:
        return pool.map(abs, [-1, -2])


@node
def program(text: str) -> str:
    return subprocess.run([sys.executable, "-c", text], stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout


@node
def odd(name: str) -> str:
    open(b"caf\xe9.csv", "w").close()
    qflow.log("seen", name="caf\udce9.csv")
    with qflow.span("caf\udce9.csv", sql="select 1 " * 600_000):
        return name


@node
def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@node
def depth(value: Any) -> int:
    levels = 0
    while isinstance(value, list):
        value, levels = value[0], levels + 1
    return levels


@workflow
def main(methods: List[str] = ["fork", "spawn", "forkserver"]) -> List[Any]:
    return [map(pooled, methods), program("import idna; print(idna.__version__)"), odd("x"), depth([[nested(100)]])]


@workflow
def deep() -> Any:
    return nested(101)
