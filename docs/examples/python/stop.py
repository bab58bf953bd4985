import time

from qflow import node, workflow


@node
def slow() -> int:
    print("slow begins")
    time.sleep(60)
    return 1


@node
def broken(n: int) -> int:
    time.sleep(1)
    return n // 0


@node
def join(a: int, b: int) -> int:
    return a + b


@workflow(on_failure="stop", timeout="5m", max_parallel=4)
def stop(n: int = 1) -> int:
    return join(slow(), broken(n))
