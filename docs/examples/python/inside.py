import qflow
from qflow import map, node, workflow


@node
def parse(lines: list[str]) -> list[int]:
    numbers = []
    with qflow.span("parse lines", lines=len(lines)):
        for done, line in enumerate(lines, start=1):
            numbers.append(int(line))
            qflow.progress(done, len(lines))
    qflow.log("parsed", numbers=len(numbers))
    return numbers


@node
def square(x: int) -> str:
    now = qflow.current()
    return f"{x * x} by {now.node_id}, attempt {now.attempt}"


@workflow
def inside() -> list[str]:
    return map(square, parse(["1", "2", "3"]))
