from qflow import node, workflow


@node
def broken(n: int) -> int:
    return n // 0


@node
def fine(n: int) -> int:
    print(f"fine has {n}")
    return n


@node
def join(a: int, b: int) -> int:
    return a + b


@workflow(on_failure="finish")
def keep_going(n: int = 1) -> int:
    return join(broken(n), fine(fine(n)))
