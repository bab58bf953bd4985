import asyncio
import time
from datetime import datetime, timedelta

import qflow
from qflow import approval, map, node, settled, sleep, workflow
from qflow import settled as tried


@node
def parse(file: str) -> int:
    return 1


@node
def many(file: str) -> list[int]:
    return [1]


@workflow
def child(files: list[str], limit: int = 3) -> list[int]:
    return map(parse, files)


@workflow
def calls(files: list[str]) -> list[int]:
    a = child()
    b = child(files, 1, 2)
    c = child(file=files)
    d = map(child, files, files)
    e = child.map(files)
    f = child
    g = map(child)
    h = [child(f.name) for f in files]
    return d


@workflow
def ping(n: int) -> int:
    return pong(n)


@workflow
def pong(n: int) -> int:
    return map(settled(ping), [n])


@workflow
def itself(n: int) -> int:
    return [itself(m) for m in [n]]


def helper(x: int) -> int:
    return x


@workflow
def settles(file: str, files: list[str]) -> int:
    a = settled(parse)
    b = settled(parse(file))
    c = settled(parse, file)
    d = settled()
    e = settled(helper)(file)
    f = settled(lambda: 1)()
    g = settled(map)(parse, files)
    h = settled(settled(parse))(file)
    i = map(settled, files)
    j = map(settled(helper), files)
    k = [settled(helper)(f) for f in files]
    l = [settled(parse(f)) for f in files]
    m = settled(sleep)("1s")
    n = tried(fn=parse)(file)
    o = settled(parse)()
    if tried(parse)(file):
        pass
    p = qflow.settled(many)(file).value.append(1)
    return o.value


@workflow
def waits(name: str, n: int, flag: bool, files: list[str]) -> bool:
    sleep()
    sleep("soon")
    sleep(-1)
    sleep(True)
    sleep(timedelta(minutes=-5))
    sleep("2026-11-25T10:00:00")
    sleep("10m", "20m")
    sleep(seconds=10)
    sleep(f"{n}m")
    sleep(many(name))
    sleep(flag)
    sleep(*files)
    time.sleep(10)
    asyncio.sleep(10)
    map(sleep, files)
    [sleep(f) for f in files]
    map(approval, files)
    approval()
    approval(name)
    approval("")
    approval("two\nlines")
    approval("finance", timeout=n)
    approval("finance", timeout="soon")
    approval("finance", timeout=0)
    approval("finance", "1h", "2h")
    approval("finance", who="me")
    ok = input("really?")
    later = sleep(datetime.now())
    return ok


@node
def waiting(files: list[str]) -> list[int]:
    sleep("1s")
    approval("me")
    child(files)
    settled(parse)("x")
    return map(child, [files])
