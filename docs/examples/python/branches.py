from typing import Optional

from qflow import node, workflow


@node
def find(customer: str) -> Optional[int]:
    return {"ada": 40, "eve": 0}.get(customer)


@node
def invoice(points: int, rebate: str = "no rebate") -> str:
    return f"{points} points, {rebate}"


@node
def welcome(customer: str) -> str:
    return f"welcome, {customer}"


@workflow
def branches(customer: str = "ada") -> str:
    points = find(customer)
    if points is None:
        return welcome(customer)
    if points >= 20 and customer not in ["eve", "mallory"]:
        rebate = "10 %"
    else:
        rebate = "no rebate"
    return invoice(points, rebate=rebate)


if __name__ == "__main__":
    print(branches())
