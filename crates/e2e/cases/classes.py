"""Values of classes go where what they are is declared."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Mapping, NamedTuple, TypedDict

from qflow import node, workflow


class Row(TypedDict):
    x: int


class Same(TypedDict):
    x: int


class Point(NamedTuple):
    x: int
    y: str


class Level(IntEnum):
    LOW = 1


@dataclass
class Base:
    a: int


@dataclass
class Child(Base):
    pass


@node
def row() -> Row:
    return {"x": 1}


@node
def point() -> Point:
    return Point(2, "b")


@node
def level() -> Level:
    return Level.LOW


@node
def child() -> Child:
    return Child(3)


@node
def mapping(v: Mapping[str, object]) -> int:
    return len(v)


@node
def same(v: Same) -> int:
    return v["x"]


@node
def pair(v: tuple[int, str]) -> str:
    return v[1] * v[0]


@node
def number(v: int) -> int:
    return v + 1


@node
def base(v: Base) -> int:
    return v.a


@workflow
def main() -> tuple[int, int, str, int, int]:
    r = row()
    return mapping(r), same(r), pair(point()), number(level()), base(child())


CASES: "list[dict[str, object]]" = [{}]

if __name__ == "__main__":
    print(main())
