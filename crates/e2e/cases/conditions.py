"""What a branch may ask: truth, comparison, membership, None, and, or, not, elif; names bound on both sides."""

from typing import Optional

from qflow import node, workflow


@node
def find(key: str) -> Optional[int]:
    return {"a": 0, "b": 7}.get(key)


@node
def rows(n: int) -> list[str]:
    return ["r"] * n


@node
def say(text: str, n: int = 0) -> str:
    return f"{text} {n}"


@workflow
def main(key: str = "b", n: int = 0) -> list[object]:
    found = find(key)
    some = rows(n)
    if found is None:
        first = say("none")
    elif not found:
        first = say("zero", found)
    else:
        first = say("found", n=found)
    second = None
    if some and key in ["a", "b"]:
        second = say("some", n)
    if 1 < n <= 3 or key == "c":
        third = say("range")
    else:
        third = say("outside")
    return [first, second, third, n > 2]


CASES = [{}, {"key": "a", "n": 2}, {"key": "c", "n": 3}, {"key": "b", "n": 9}]
