"""The smallest workflow: two nodes in a row.

    qflow run examples/hello.py -p name=Ada
"""

from qflow import node, workflow


@node
def greet(name: str) -> str:
    print(f"greeting {name}")
    return f"hello, {name}"


@node
def shout(text: str, marks: int = 3) -> str:
    return text.upper() + "!" * marks


@workflow
def hello(name: str = "world") -> str:
    return shout(greet(name))


if __name__ == "__main__":
    print(hello())
