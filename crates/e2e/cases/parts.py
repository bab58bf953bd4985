"""Parts of results, tuples taken apart, values gathered, nested calls, f-strings of parameters."""

from dataclasses import dataclass

from qflow import node, workflow


@dataclass
class User:
    name: str
    tags: list[str]


@node
def load(name: str) -> User:
    return User(name, ["x", "y", name])


@node
def both(n: int) -> tuple[int, str]:
    return n + 1, f"<{n}>"


@node
def table() -> dict[str, list[int]]:
    return {"a": [1, 2, 3], "b": []}


@node
def join(left: str, right: str = "?") -> str:
    return f"{left}+{right}"


@node
def greet(user: User) -> str:
    return f"{user.name} has {len(user.tags)}"


@workflow
def main(name: str = "Ada", n: int = 2) -> dict[str, object]:
    user = load(f"{name}!")
    number, text = both(n)
    rows = table()
    return {
        "last": user.tags[-1],
        "number": number,
        "text": text,
        "second": rows["a"][1],
        "joined": join(join(user.name), right=text),
        "greeting": greet(user),
        "list": [join("a"), rows["b"]],
    }


CASES = [{}, {"name": "Zoë", "n": -5}]
