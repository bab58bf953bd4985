from qflow import approval, cron, map, node, settled, sleep, workflow


@node(cache=True, pool="database")
def parse(file: str) -> int:
    return 1


@workflow
def child(files: list[str]) -> list[int]:
    return map(parse, files)


def tell() -> None: ...


@workflow(schedule=cron("0 2 * * *", into="day"), notify="me", on_failure=tell, isolation="node")
def parent(files: list[str], day: str) -> list[int]:
    sleep("10m")
    ok = approval("finance", timeout="2d")
    one = settled(parse)(day)
    all = map(settled(parse), files)
    below = child(files)
    many = map(child, [files])
    also = [child(f) for f in [files]]
    return many


@workflow
def ping(n: int) -> int:
    return pong(n)


@workflow
def pong(n: int) -> int:
    return map(ping, [n])


@workflow
def itself(n: int) -> int:
    return itself(n)
