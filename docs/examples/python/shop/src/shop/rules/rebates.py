PERCENT = 10


def rebate(amount: int, percent: int) -> int:
    return amount * percent // 100
