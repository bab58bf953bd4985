import functools
from collections.abc import Callable, Iterator
from datetime import date

import qflow
from qflow import approval, map, node, settled, sleep, workflow
from qflow import nod


@node
def gives(x: int) -> Iterator[int]:
    yield x


@node
def many(*rest: int, **more: int) -> int:
    return 1


@node
def by_position(x: int, /, y: int) -> int:
    return x


@node
def calls(x: Callable[[int], int], y: Unknown, z: np.ndarray, day: date = date.today()) -> "list[":
    return 1


@node
def untyped(x):
    return x


@node
def other(x: int) -> int:
    return x


@node(requirements=["numpy"])
def heavy(x: int) -> int:
    return x


@node
def inner(x: int, sleep_for: int) -> list[int]:
    sleep("1s")
    approval("me")
    settled(other)(x)
    flow(x)
    heavy(x)
    other(x)
    doubled = [y for y in map(str, [x])]
    return map(other, [x])


@functools.cache
@node
def cached(x: int) -> int:
    return x


@node
@workflow
def both(x: int) -> int:
    return x


@node
class Holder:
    @node
    def method(self) -> int:
        return 1


def outer() -> None:
    @workflow
    def nested() -> None: ...

    made = node(lambda x: x)


if True:

    @qflow.node
    def sometimes() -> int:
        return 1


made = qflow.node(outer)


@node
def other(x: int) -> int:
    return x


heavy = 1


@workflow
def flow(x: int) -> int:
    return other(x)


@workflow(name="flow")
def flow_again(x: int) -> int:
    return other(x)
