import random

from qflow import map, node, workflow


@node(cache="7d")
def expensive(name: str) -> str:
    print(f"works for {name}")
    return f"{name} {random.random()}"


@workflow
def caching(names: list[str] = ["a", "b"]) -> list[str]:
    return map(expensive, names)
