"""Outcomes handed to nodes: by themselves and inside other values, and parts of what was made of them."""

from dataclasses import dataclass

from qflow import Outcome, OutcomeError, map, node, settled, workflow


@dataclass
class Kept:
    first: Outcome[int]
    more: dict[str, list[Outcome[int]]]


@node
def parse(text: str) -> int:
    return int(text)


@node
def split(text: str) -> list[str]:
    return text.split(",")


@node
def keep(first: Outcome[int], all: list[Outcome[int]]) -> Kept:
    return Kept(first, {"all": all})


@node
def name(error: OutcomeError) -> str:
    return f"{type(error).__name__} of {error.type}"


@node
def tell(outcomes: list[Outcome[int]], by_name: dict[str, Outcome[int]], pair: tuple[Outcome[int], int], kept: Kept) -> list[str]:
    inside = [*outcomes, *by_name.values(), pair[0], kept.first, *kept.more["all"]]
    return [f"{type(o).__name__} {o.value if o.error is None else o.error.type + ': ' + o.error.message}" for o in inside]


@workflow
def main(text: str) -> list[object]:
    parts = split(text)
    outcomes = map(settled(parse), parts)
    first = settled(parse)(parts[0])
    kept = keep(first, outcomes)
    said = "fine"
    if kept.first.error is not None:
        # A part of what a node gave, through the outcome inside it.
        said = name(kept.first.error)
    return [said, tell(outcomes, {"first": first}, (first, 1), kept)]


CASES = [{"text": "1"}, {"text": "1,x,3"}, {"text": "x,2"}]
