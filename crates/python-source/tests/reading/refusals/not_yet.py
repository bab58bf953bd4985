from qflow import cron, map, node, workflow


@node
def parse(file: str) -> int:
    return 1


@workflow(schedule=cron("0 2 * * *", tz="Europe/Berlin", into="day", catch_up="last", overlap="skip", jitter="5m"), notify=["me"])
def nightly(day: str, files: list[str] = ["a.csv"]) -> list[int]:
    return map(parse, files)
