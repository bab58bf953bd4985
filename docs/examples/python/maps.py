from qflow import map, node, workflow


@node
def cut(upto: int) -> list[int]:
    return list(range(upto))


@node
def power(x: int, exponent: int = 2) -> int:
    return int(x**exponent)


@node
def ratio(a: int, b: int) -> float:
    return a / b


@workflow
def maps(upto: int = 5) -> dict[str, object]:
    xs = cut(upto)
    squares = map(power, xs)
    cubes = map(power, xs, exponent=3)
    shares = [ratio(a, b=b) for a, b in zip(squares, [1, 1, 2, 3, 4])]
    return {"squares": squares, "cubes": cubes, "shares": shares, "none": map(power, cut(0))}


if __name__ == "__main__":
    print(maps())
