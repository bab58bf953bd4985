"""An upload, a list that is read element by element, a text and a file: each larger than a row."""

import pathlib
from typing import List

from qflow import File, map, node, workflow

MIB = 1 << 20


@node
def read(file: File) -> List[str]:
    return [line * 1000 for line in file.read_text().split()]


@node
def shout(word: str) -> str:
    return word[:3].upper() + str(len(word))


@node
def fill(words: List[str]) -> str:
    return ",".join(words).ljust(3 * MIB, ".")


@node
def write(text: str, file: File) -> File:
    out = pathlib.Path("out.txt")
    out.write_text(text.rstrip(".") + "\n" + file.read_text())
    return File(out)


@workflow
def large(file: File) -> File:
    return write(fill(map(shout, read(file))), file)
