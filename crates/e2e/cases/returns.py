"""A return inside an if, on either side; what follows is the other side's."""

from qflow import node, workflow


@node
def size(text: str) -> int:
    return len(text)


@node
def describe(n: int, word: str = "long") -> str:
    return f"{word}: {n}"


@workflow
def main(text: str = "abc") -> str:
    n = size(text)
    if n == 0:
        return describe(n, word="empty")
    if n < 5:
        if n == 1:
            return describe(n, "single")
        word = "short"
    else:
        word = "long"
    return describe(n, word=word)


CASES = [{"text": ""}, {"text": "a"}, {"text": "abc"}, {"text": "abcdefgh"}]
