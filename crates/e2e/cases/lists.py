"""Maps: with a constant, over several lists, over a map's own result, over nothing; joins and parts of them."""

from qflow import map, node, workflow


@node
def numbers(n: int) -> list[int]:
    return list(range(n))


@node
def scaled(x: int, by: int = 1) -> int:
    return x * by


@node
def pair(a: int, b: int, sep: str = "-") -> str:
    return f"{a}{sep}{b}"


@node
def total(xs: list[int]) -> int:
    return sum(xs)


@node
def count(xs: list[str]) -> int:
    return len(xs)


@workflow
def main(n: int = 4) -> dict[str, object]:
    xs = numbers(n)
    ys = map(scaled, xs, by=10)
    zs = [scaled(y, by=2) for y in ys]
    pairs = [pair(x, z, sep="/") for x, z in zip(xs, zs)]
    return {"ys": ys, "pairs": pairs, "sum": total(zs), "n": count(pairs)}


CASES = [{"n": 4}, {"n": 1}, {"n": 0}]
