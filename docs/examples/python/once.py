from qflow import node, workflow


@node(idempotent=False, timeout="30s")
def charge(account: str, amount: int) -> str:
    print(f"charges {account}")
    if amount > 100:
        raise ValueError("too much")
    return f"{account} paid {amount}"


@workflow
def once(account: str = "ada", amount: int = 10) -> str:
    return charge(account, amount)
