"""Failures as values: of a node, of a workflow, of each element; what goes on after them."""

from qflow import map, node, settled, workflow


@node
def parse(text: str) -> int:
    return int(text)


@node
def split(text: str) -> list[str]:
    return text.split(",")


@node
def describe(kind: str, attempts: int) -> str:
    return f"{kind} after {attempts}"


@node
def add(a: int, b: int) -> int:
    return a + b


@workflow
def both(a: str, b: str) -> int:
    return add(parse(a), parse(b))


@workflow
def main(text: str) -> dict[str, object]:
    parts = split(text)
    outcomes = map(settled(parse), parts)
    again = [settled(parse)(p) for p in parts]
    pairs = [settled(both)(a, b) for a, b in zip(parts, parts)]
    first = settled(parse)(parts[0])
    if first.ok:
        said = first.value
    else:
        said = describe(first.error.type, first.error.attempts)  # type: ignore[assignment]
    whole = settled(both)("1", text)
    last = None
    if not whole.ok and whole.error is not None:
        last = whole.error.type
    return {
        "outcomes": outcomes,
        "again": again,
        "sums": [pairs[0].value, pairs[0].ok],
        "said": said,
        "whole": whole.ok,
        "last": last,
    }


CASES = [{"text": "1"}, {"text": "1,x,3"}, {"text": "x,2"}]
