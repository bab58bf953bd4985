from qflow import map, node, settled, workflow


@node
def parse(line: str) -> int:
    print(f"parses {line}")
    return int(line)


@node
def double(n: int) -> int:
    return 2 * n


@workflow
def one(line: str) -> int:
    return double(parse(line))


@workflow
def sub_workflows(lines: list[str] = ["1", "2"]) -> dict[str, object]:
    head = one(lines[0])
    every = map(one, lines)
    odd = settled(one)("many")
    return {"head": head, "every": every, "odd": odd.ok}


if __name__ == "__main__":
    print(sub_workflows())
