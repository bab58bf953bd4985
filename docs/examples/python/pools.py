import time

from qflow import map, node, workflow


@node(pool="database")
def load(table: int) -> int:
    time.sleep(0.1)
    return table


@node(max_parallel=2)
def check(table: int) -> bool:
    return table >= 0


@workflow(max_parallel=8)
def pools(tables: list[int] = [1, 2, 3, 4]) -> list[bool]:
    return map(check, map(load, tables))
