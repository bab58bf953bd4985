"""Two nodes in a row.

    qflow run FILE -p name=Ada
    qflow test FILE
    python FILE
"""

# /// script
# requires-python = ">=3.9"
# dependencies = []
# ///
from __future__ import annotations

from qflow import node, workflow


@node(retries=2, timeout="1m")
def greet(name: str) -> str:
    print(f"greeting {name}")
    return f"Hello, {name}"


@node
def shout(text: str, marks: int = 3) -> str:
    return text.upper() + "!" * marks


@workflow
def WORKFLOW(name: str = "World") -> str:
    return shout(greet(name))


if __name__ == "__main__":
    print(WORKFLOW())
