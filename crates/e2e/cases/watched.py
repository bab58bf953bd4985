"""Greets, and waits for somebody: a run that stays under way until it is answered."""

from qflow import approval, node, workflow


@node
def greet(name: str) -> str:
    print(f"hello {name}")
    return name


@workflow
def main(name: str) -> str:
    said = greet(name)
    if approval("go", timeout="1h"):
        told = greet(said)
    else:
        told = said
    return told
