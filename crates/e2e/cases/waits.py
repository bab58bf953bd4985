"""A report that waits a moment, then for somebody, and is published in a workflow of its own."""

from qflow import approval, node, sleep, workflow


@node
def publish(report: str) -> str:
    return f"published {report}"


@workflow
def release(report: str) -> str:
    sleep("1s")
    if approval("finance", timeout="1h"):
        said = publish(report)
    else:
        said = "kept"
    return said


@workflow
def main(report: str) -> str:
    return release(report)
