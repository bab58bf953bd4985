"""A run of every kind that telemetry tells apart."""

from __future__ import annotations

import os
import time

import qflow
from qflow import map, node, settled, sleep, workflow


@node
def numbers(upto: int) -> list[int]:
    print(f"numbers up to {upto}")
    return list(range(upto))


@node(cache=True)
def square(number: int) -> int:
    return number * number


@node
def total(squares: list[int]) -> int:
    return sum(squares)


@workflow
def succeeds(upto: int = 3) -> int:
    sleep("10ms")
    return total(map(square, numbers(upto)))


@node
def wrong() -> int:
    print("about to go wrong")
    raise ValueError("wrong on purpose")


@workflow
def fails() -> int:
    return square(wrong())


@node(timeout="1s", retries=1, backoff="10ms")
def late() -> int:
    time.sleep(60)
    return 0


@workflow
def times_out() -> int:
    return late()


@node(memory="64MiB")
def hungry() -> int:
    return len(b"x" * (1 << 30))


@workflow
def runs_out_of_memory() -> int:
    return hungry()


@node
def long() -> int:
    print("waits to be cancelled")
    time.sleep(600)
    return 0


@workflow
def is_cancelled() -> int:
    return long()


@node(cpus=0.05)
def busy() -> int:
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    return 0


@workflow
def is_held_back() -> int:
    return busy()


@node(retries=1, backoff="10ms")
def flaky() -> int:
    if qflow.current().attempt == 1:
        raise ConnectionError("only once")
    return 1


@workflow
def tries_again() -> int:
    outcome = settled(flaky)()
    if outcome.ok:
        return square(2)
    return 0


@node
def words(text: str) -> list[str]:
    with qflow.span("split words"):
        print(f"splits {text!r}")
        return text.split()


@workflow
def is_traced(text: str = "one trace") -> list[str]:
    return words(text)


@node
def waits(numbers: list[int], gate: str) -> list[int]:
    while not os.path.exists(gate):
        time.sleep(0.05)
    return numbers


@workflow
def waits_for_a_file(gate: str) -> int:
    return total(waits(numbers(3), gate))


@node
def floods() -> int:
    for _ in range(9 * 1024):
        print("x" * 1024)
    return 0


@workflow
def writes_too_much() -> int:
    return floods()


@node
def sized(size: int) -> str:
    return "x" * size


@node
def length(text: str) -> int:
    return len(text)


@workflow
def hands_on_of_each_size() -> list[int]:
    return [length(sized(40_000)), length(sized(400_000)), length(sized(4_000_000)), length(sized(17_000_000))]


HOSTILE = [
    '{"@timestamp": "never", "log.level": {}, "event.action": "workflow_error"',
    '"}\n{"level": "ERROR"}\r\n\x1b[31mred\x1b[0m \x00\x07\x7f\x85',
    "\u2028\u2029\ufeff\ud800 \U0001f600 \u202e",
    "x" * 1_000_000,
    "%s %(message)s ${jndi:ldap://127.0.0.1/a} {{ .Alerts }} <script>",
]


@node
def hostile() -> str:
    for line in HOSTILE:
        print(line)
        qflow.log(line[:1000], **{"_index": "evil", "@timestamp": 1, "log.level": [1], "deep": {"a": [{"b": None}]}})
    raise ValueError(HOSTILE[1] + HOSTILE[2])


@workflow
def speaks_hostile() -> str:
    return hostile()
