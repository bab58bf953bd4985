"""Workflows that call workflows: once, for each element, over several lists, with defaults, below one another, in a branch."""

from qflow import map, node, workflow

STEP = 2


@node
def words(text: str) -> list[str]:
    return text.split()


@node
def size(word: str) -> int:
    return len(word)


@node
def add(a: int, b: int) -> int:
    return a + b


@node
def total(numbers: list[int]) -> int:
    return sum(numbers)


@workflow
def longer(word: str, by: int = STEP) -> int:
    return add(size(word), by)


@workflow(name="of-a-text")
def text_size(text: str) -> tuple[int, list[int]]:
    sizes = map(longer, words(text))
    return total(sizes), sizes


@workflow
def empty() -> None:
    pass


@workflow
def main(text: str, n: int) -> dict[str, object]:
    whole, sizes = text_size(text)
    empty()
    plain = map(longer, words(text), by=0)
    both = [add(a, b) for a, b in zip(sizes, plain)]
    pairs = [longer(word, by) for word, by in zip(words(text), sizes)]
    texts = map(text_size, ["a", "bb c", ""])
    if n > 1:
        last = longer(text, by=n)
    elif n == 1:
        last, _ = text_size(text)
    else:
        last = None
    return {"whole": whole, "both": both, "pairs": pairs, "texts": texts, "last": last, "first": texts[1][0]}


CASES = [{"text": "one three", "n": 2}, {"text": "x", "n": 1}, {"text": "", "n": 0}]
