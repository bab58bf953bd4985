"""Values that may be None, or of several kinds, behind the branches that ask which they are."""

from typing import Literal, Optional

from qflow import node, settled, workflow


@node
def find(word: str, n: int) -> Optional[int]:
    return n if word else None


@node
def twice(n: int) -> int:
    return n * 2


@node
def mode_of(n: int) -> Literal["fast", "slow", "off"]:
    return "fast" if n > 5 else "slow" if n > 2 else "off"


@node
def go(mode: Literal["fast", "slow"]) -> str:
    return f"going {mode}"


@node
def said(value: str) -> str:
    return value.upper()


@node
def check(n: int) -> int:
    if n < 0:
        raise ValueError("below zero")
    return n


@workflow
def main(word: str, n: int) -> list[object]:
    found = find(word, n)
    if found is None:
        return ["none"]
    doubled = twice(found)
    mode = mode_of(n)
    if mode == "off":
        how = said("off")
    else:
        how = go(mode)
    checked = None
    if n != 3:
        checked = settled(check)(n)
    if checked is None or not checked.ok:
        last = twice(0)
    else:
        last = twice(checked.value)  # pyright: ignore
    if not (checked is None or checked.ok) and checked.error.type == "ValueError":  # pyright: ignore
        last = twice(-1)
    return [doubled, how, last]


CASES = [{"word": "", "n": 1}, {"word": "a", "n": -4}, {"word": "a", "n": 1}, {"word": "a", "n": 3}, {"word": "a", "n": 7}]
