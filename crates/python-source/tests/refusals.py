from datetime import date

from qflow import node, workflow
from qflow import node as task


@node(retries=2, idempotent=False, colour="red")
def one(x: int) -> int:
    yield x


@task(memory="lots")
def two(*rest, y: "list[int]" = []) -> int:
    return 1


class Holder:
    @node
    def method(self) -> int:
        return 1


@workflow
def main(n: int = 3, day: str = date.today()) -> int:
    for i in range(n):
        one(i)
    a = one(n) + 1
    b = one(n, 2)
    c = one(z=1)
    d = map(one, [1, 2])
    with open("x") as f:
        pass
    e = one(1) if n else 2
    if n > 1:
        g = one(1)
    print(g)
    h = one(g)
    p, q = one(n)
    return one.map([1])
