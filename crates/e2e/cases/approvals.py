"""Two approvals, one after the other."""

from qflow import approval, workflow


@workflow
def main() -> list[bool]:
    first = approval("legal", timeout="1h")
    second = False
    if first:
        second = approval("finance", timeout="1h")
    return [first, second]
