"""Generic nodes whose results are not what their variables stand for."""

from typing import Any, List, TypeVar

from qflow import node, workflow

T = TypeVar("T")


@node
def with_more(x: T) -> List[T]:
    more: Any = 3.5
    return [x, more]


@node
def behind(rows: List[T]) -> List[T]:
    more: Any = "zzz"
    return [*rows, more] if len(rows) > 1 else rows


@workflow
def longer() -> List[int]:
    return with_more(1)


@workflow
def told() -> List[int]:
    return behind([1, 2])


@workflow
def held() -> List[int]:
    return behind([1])
