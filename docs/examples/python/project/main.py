from qflow import workflow

from reports.nodes import add


@workflow
def main(a: int = 1) -> int:
    return add(add(a, 2), 3)


if __name__ == "__main__":
    print(main())
