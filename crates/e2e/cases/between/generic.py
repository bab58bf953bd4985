"""Generic nodes whose results are not what their variables stand for."""

from typing import Any, List, TypeVar

from qflow import node, workflow

T = TypeVar("T")


@node
def with_more(x: T) -> List[T]:
    more: Any = 3.5
    return [x, more]


@node
def first(rows: List[T]) -> T:
    other: Any = "zzz" if len(rows) > 1 else rows[0]
    return other


@workflow
def longer() -> List[int]:
    return with_more(1)


@workflow
def told() -> int:
    return first([1, 2])


@workflow
def held() -> int:
    return first([1])
