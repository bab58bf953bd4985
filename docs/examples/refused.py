from datetime import date

from qflow import node, workflow


@node
def total(rows: list[int], day: str) -> int:
    return sum(rows)


@workflow
def refused(rows: list[int], day: str = date.today()) -> int:
    for row in rows:
        print(row)
    return total(rows) + 1
