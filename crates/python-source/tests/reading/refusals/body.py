import datetime
import time
from datetime import date

import pandas as pd
from qflow import cron, map, node, progress, secret, workflow


@node
def one(x: int) -> int:
    return x


@node
def frame(n: int) -> pd.DataFrame:
    return pd.DataFrame()


def helper(x: int) -> int:
    return x


class Plain:
    pass


@workflow
def loops(n: int) -> None:
    for i in range(n):
        one(i)
    while n:
        one(n)
    [one(x) for x in range(n)]
    [one(x) for x in one(n) if x]
    [helper(x) for x in one(n)]
    {one(x) for x in one(n)}
    (one(x) for x in one(n))


@workflow
def operators(n: int, text: str) -> int:
    a = one(n) + 1
    b = text.upper()
    c = frame(n)["c"]
    print(n)
    d = -n
    e = one >> one
    f = n[1:2]
    g = helper(n)
    h = Plain()
    i = text and n
    return a


@workflow
def statements(n: int) -> int:
    try:
        one(n)
    except ValueError as error:
        pass
    with open("x") as file:
        one(n)
    match n:
        case 1:
            pass
    x = one(n) if n else 2
    n += 1
    if (y := one(n)):
        pass
    import os
    global z
    raise ValueError("x")
    assert n
    del n

    def inner() -> None: ...

    class Inner: ...

    n["k"] = 1
    n.k = one(n)
    n
    return x


@workflow
def clocks(day: str = date.today(), at: float = time.time()) -> str:
    today = datetime.date.today()
    return f"{datetime.datetime.now()}"


@workflow
async def waits(n: int) -> int:
    return await one(n)


@workflow
def calls(n: int, xs: list[int]) -> int:
    a = one()
    b = one(n, 2)
    c = one(y=1)
    d = one(n, x=2)
    e = one(*xs)
    f = one(**xs)
    g = one.map(xs)
    h = one.submit(n)
    i = map(one, xs, xs)
    j = map(one)
    k = map(helper, xs)
    l = map(lambda x: x, xs)
    m = [one(x + 1) for x in xs]
    o = [one(x) for x, y in xs]
    p = [one(n) for x in xs]
    q = [one(x) for x, y in zip(xs, xs)]
    r = ones(n)
    s = one
    t = one(lambda: 1)
    u = progress(0.5)
    v = secret("key")
    return n


@workflow
def names(n: int, one_more: int) -> int:
    if n > 1:
        g = one(n)
    print(g)
    h = one(late)
    late = one(n)
    p, q = one(n)
    p, *q = (1, 2)
    one_mor = one(one_mre)
    helper = helper(n)
    return unknown


@workflow
def conditions(n: int, xs: list[int], text: str) -> int:
    if frame(n):
        pass
    if frame(n) == 1:
        pass
    if xs == []:
        pass
    if n is 1:
        pass
    if n in xs:
        pass
    if n and one(n):
        pass
    if xs == xs:
        pass
    if text == date(2026, 1, 1):
        pass
    if f"{text}" == "x":
        pass
    return f"{n:02}{n!r}{one(n)}"


@workflow
def ends(n: int) -> int:
    if n:
        return one(n)
        one(1)
    else:
        return 2
    return one(n)


@workflow
def nothing() -> None:
    pass
