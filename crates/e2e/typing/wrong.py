"""Errors of types that `qflow validate`, mypy and pyright find on the same lines: those that end in `expect`.

`expect: qflow` and `expect: checkers` mark the two lines of an error that Qflow tells where the function is declared, and the checkers
where the statement stands.
"""

from dataclasses import dataclass
from typing import Optional

from qflow import Outcome, map, node, workflow


@dataclass
class User:
    name: str
    age: int = 0


@node
def find(key: str) -> Optional[int]:
    return {"a": 1}.get(key)


@node
def numbers(n: int, start: int = 0) -> list[int]:
    return list(range(start, start + n))


@node
def words(n: int) -> list[str]:
    return ["w"] * n


@node
def both(n: int) -> tuple[int, str]:
    return n, str(n)


@node
def load(name: str) -> User:
    return User(name)


@node
def add(a: int, b: int = 1) -> int:
    return a + b


@node
def pair(a: int, b: str) -> str:
    return f"{a}{b}"


@node
async def fetch(url: str) -> int:
    return len(url)


@node
def count(outcomes: list[Outcome[int]]) -> int:
    return sum(outcome.ok for outcome in outcomes)


@workflow
def arguments(n: int = 1, text: str = "a") -> int:
    add(text)  # expect
    add(numbers(n))  # expect
    add(n, b=text)  # expect
    add(n, "b")  # expect
    add(n, c=n)  # expect
    add()  # expect
    add(n, 1, 2)  # expect
    fetch(n)  # expect
    pair(fetch(text), fetch(text))  # expect
    return add(fetch(text), b=2)


@workflow
def maps(n: int = 1) -> int:
    map(add, words(n))  # expect
    map(add, numbers(n), b="x")  # expect
    map(add, numbers(n), c=1)  # expect
    map(pair, numbers(n))  # expect
    map(add, n)  # expect
    [pair(a, b) for a, b in zip(words(n), words(n))]  # expect
    [add(word) for word in words(n)]  # expect
    added = map(add, numbers(n))
    count(added)  # expect
    return add(added)  # expect


@workflow
def parts(n: int = 1) -> str:
    user = load("Ada")
    number, text = both(n)
    pair(text, text)  # expect
    add(number, words(n)[0])  # expect
    pair(words(n), user.name)  # expect
    return pair(number, user.name)


@workflow
def narrowed(key: str = "a") -> int:
    found = find(key)
    add(found)  # expect
    if found is None:
        return add(found)  # expect
    return add(found)


@workflow
def result(n: int = 1) -> str:
    return add(n)  # expect


@workflow
def gathered(n: int = 1) -> list[str]:
    return [add(n), add(n)]  # expect


@workflow
def default(n: int = "one") -> int:  # expect
    return add(n)


@node(retries="many")  # expect
def option(n: int) -> int:
    return n


@node(retires=2)  # expect
def unknown_option(n: int) -> int:
    return n


@workflow(on_failure="go on")  # expect
def failing(n: int = 1) -> int:
    return add(n)
