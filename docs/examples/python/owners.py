from dataclasses import dataclass
from datetime import date

from qflow import node, workflow


@dataclass
class Owner:
    name: str
    since: date = date(2020, 1, 1)


@node
def sign(owner: Owner) -> str:
    return f"{owner.name}, here since {owner.since}"


@workflow
def owners(owner: Owner) -> tuple[str, date]:
    return sign(owner), owner.since


if __name__ == "__main__":
    print(owners(Owner("ada")))
