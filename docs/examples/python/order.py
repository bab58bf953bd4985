from qflow import node, workflow


@node
def stage(rows: list[int]) -> int:
    return len(rows)


@node
def clear(table: str) -> None:
    print(f"{table} is empty")


@node
def load(table: str, rows: int) -> None:
    print(f"{rows} rows into {table}")


@node
def report(table: str) -> str:
    return f"{table} is loaded"


@workflow
def order(table: str = "sales") -> str:
    rows = stage([1, 2, 3])
    clear(table)
    load(table, rows)
    return report(table)


if __name__ == "__main__":
    print(order())
