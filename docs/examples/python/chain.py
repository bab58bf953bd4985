from qflow import node, workflow


@node
def greet(name: str) -> str:
    print(f"greeting {name}")
    return f"hello, {name}"


@node
def shout(text: str, marks: int = 1) -> str:
    return text.upper() + "!" * marks


@workflow
def chain(name: str = "world") -> str:
    text = greet(name)
    return shout(text, marks=3)


if __name__ == "__main__":
    print(chain())
