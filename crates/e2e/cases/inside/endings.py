"""How a node ends, other than by its value."""

import asyncio
import time
from typing import List

import idna
import qflow
from qflow import node, workflow

from deep.er import fails_there


@node(retries=3, backoff="10ms")
def aborts() -> int:
    print("attempt", qflow.current().attempt)
    raise qflow.Abort("never again")


@workflow
def abort() -> int:
    return aborts()


@node(retries=1, backoff="1h")
def waits() -> int:
    if qflow.current().attempt == 1:
        raise qflow.Retry("soon", after="100ms")
    return qflow.current().attempt


@workflow
def retry() -> int:
    return waits()


@node(retries=1, backoff="10ms", retry_on=["TimeoutError"], timeout="2s")
def hurries() -> int:
    if qflow.current().attempt == 1:
        time.sleep(60)
    return qflow.current().attempt


@workflow
def hurry() -> int:
    return hurries()


@node(retries=1)
def is_late() -> int:
    if qflow.current().attempt == 1:
        raise qflow.Retry("the time it named is over", after=-5)
    return qflow.current().attempt


@workflow
def at_once() -> int:
    return is_late()


@node
def asks() -> int:
    raise qflow.Retry("asked for what is not left", after="1s")


@workflow
def spent() -> int:
    return asks()


@node(timeout="2s")
def slow() -> int:
    try:
        time.sleep(60)
    except qflow.Cancelled:
        print("cancelled")
        raise
    finally:
        print("tidied up")
    return 1


@workflow
def late() -> int:
    return slow()


@node(timeout="2s")
async def slow_task() -> int:
    async def other() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            print("the other task tidied up")

    task = asyncio.ensure_future(other())
    try:
        await asyncio.sleep(60)
    finally:
        print("tidied up")
    await task
    return 1


@workflow
def late_task() -> int:
    return slow_task()


@node
def hangs() -> int:
    try:
        print("hanging", flush=True)
        time.sleep(600)
    finally:
        time.sleep(1)
        print("tidied up")
    return 1


@workflow
def hang() -> int:
    return hangs()


@node
def bare() -> str:
    return idna.encode("ü")  # type: ignore[no-any-return]


@workflow
def missing() -> str:
    return bare()


@node
def there(x: int | None) -> int:
    return fails_there(x)


@workflow
def traced() -> int:
    return there(3)


@node
def eats() -> int:
    held: List[bytes] = []
    while True:
        held.append(bytearray(b"x" * (16 << 20)))  # type: ignore[arg-type]
    return len(held)


@workflow
def oom() -> int:
    return eats()


@node
def reaches() -> str:
    import urllib.request

    return urllib.request.urlopen("http://qflow.invalid/", timeout=5).read().decode()  # type: ignore[no-any-return]


@workflow
def offline() -> str:
    return reaches()


if __name__ == "__main__":
    raise SystemExit("this does not run in Qflow")
