"""As many nodes at once as a list has elements."""

from qflow import map, node, workflow


@node
def each(n: int) -> int:
    a, b = 0, 1
    for _ in range(10):
        a, b = b, a + b
    return n


@workflow
def many(numbers: list[int]) -> list[int]:
    return map(each, numbers)
