from qflow import Outcome, map, node, settled, workflow


@node(retries=1, backoff="10ms")
def parse(text: str) -> int:
    return int(text)


@node
def describe(kind: str, message: str, status: str, attempts: int) -> str:
    return f"{kind} ({message}) {status} after {attempts} attempts"


@node
def total(outcomes: list[Outcome[int]]) -> str:
    values = [outcome.value for outcome in outcomes if outcome.error is None]
    return f"{len(values)} of {len(outcomes)} parsed, sum {sum(values)}"


@workflow
def outcomes(texts: list[str] = ["1", "x", "3"]) -> dict[str, object]:
    parsed = map(settled(parse), texts)
    second = parsed[1]
    said = "all is well"
    if second.error is not None:
        error = second.error
        said = describe(error.type, error.message, error.status, error.attempts)
    return {"said": said, "total": total(parsed), "first": parsed[0].value, "ok": second.ok}


if __name__ == "__main__":
    print(outcomes(["1", "2"]))
