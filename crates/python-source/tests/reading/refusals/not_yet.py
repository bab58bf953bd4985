from qflow import cron, map, node, workflow


@node
def parse(file: str) -> int:
    return 1


@workflow(schedule=cron("0 2 * * *", tz="Europe/Berlin", into="day", catch_up="last"), notify=["me"])
def nightly(files: list[str], day: str) -> list[int]:
    return map(parse, files)
