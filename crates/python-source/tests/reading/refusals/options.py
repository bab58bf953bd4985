# /// script
# requires-python = "3.11"
# dependencies = "pandas"
# [tool.qflow.node]
# retries = "three"
# memmory = "1GiB"
# ///
from qflow import node, secret, workflow

WORD = "wording"


@node(
    python=3.11,
    requirements="httpx",
    inherit=1,
    retries=-1,
    backoff="soon",
    retry_on=[len("x")],
    timeout="0s",
    memory="1MiB",
    cpus=0,
    pids=0,
    tmp="lots",
    network="yes",
    env={"A B": "x"},
    secrets="",
    max_parallel=0,
    pool="a b",
    cache="for ever",
    convert="no",
    idempotent=None,
    isolation="vm",
)
def every(x: int) -> int:
    return x


@node(3, retries=WORD, timeout=make(), gpu=1, colour="red", retires=3, **WORD)
def misused(x: int) -> int:
    return x


@node(retries=2, idempotent=False, env={"KEY": secret("db"), "OTHER": secret(WORD)})
def chosen(x: int) -> int:
    return x


def tell() -> None: ...


@workflow("daily", name="a/b", max_parallel="many", timeout=-1, on_failure=tell, isolation="vm", gpu=1)
def flow(x: int = len("x"), y: str = "\ud800", *z: int) -> int:
    return every(x)


@workflow(schedule=cron("0 2 * * *"), notify="me@example.org", on_failure="ignore", retries=1)
def later(x: int) -> int:
    return every(x)


from qflow import cron as slots


@workflow(schedule=slots("0 2 * *"), notify=3)
def thursdays(x: int) -> int:
    return every(x)


@workflow(schedule=slots("0 2 * * *", "UTC", "day"))
def daily(x: int) -> int:
    return every(x)


@workflow(schedule="0 2 * * *")
def hourly(x: int) -> int:
    return every(x)


@workflow(schedule=slots("0 2 * * *", at="noon"))
def at_noon(x: int) -> int:
    return every(x)


@workflow(schedule=slots("0 0 30 2 *"))
def never(x: int) -> int:
    return every(x)


@workflow(schedule=slots("0 2 * * *", tz="Europe/Berlim"))
def misspelt(x: int) -> int:
    return every(x)


@workflow(schedule=slots("0 2 * * *", into="x"))
def numbered(x: int) -> int:
    return every(x)


@workflow(schedule=slots("0 2 * * *", overlap="wait"))
def waiting(x: int) -> int:
    return every(x)


@workflow(schedule=slots("0 2 * * *", jitter="2d"))
def spread(x: int) -> int:
    return every(x)


@workflow(schedule=slots("0 2 * * *", into="day"))
def unfilled(day: str, x: int) -> int:
    return every(x)


@node(retries=2, retry_on=[])
def nothing(x: int) -> int:
    return x


@node(env={"HOME": "/home/me"})
def elsewhere(x: int) -> int:
    return x


@node(env={"LD_PRELOAD": secret("library")})
def loaded(x: int) -> int:
    return x
