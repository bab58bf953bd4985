from dataclasses import dataclass

from qflow import node, workflow


@dataclass
class User:
    name: str
    tags: list[str]


@node
def load(name: str) -> User:
    return User(name, ["new", "eu"])


@node
def split(text: str) -> tuple[str, int]:
    return text[0], len(text)


@node
def totals() -> dict[str, list[float]]:
    return {"eu": [1.5, 2.5], "us": []}


@node
def note(text: str, number: float) -> str:
    return f"{text}: {number}"


@workflow
def parts(name: str = "Ada") -> dict[str, object]:
    user = load(f"{name} L.")
    letter, length = split(user.name)
    sums = totals()
    return {
        "notes": [note(letter, length), note(user.tags[-1], sums["eu"][1])],
        "us": sums["us"],
        "who": user.name,
    }


if __name__ == "__main__":
    print(parts())
