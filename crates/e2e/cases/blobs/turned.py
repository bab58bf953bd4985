"""A file that comes in, and another of the same length that goes out, a piece at a time."""

import pathlib
import shutil

from qflow import File, node, workflow


@node
def turn(file: File) -> File:
    out = pathlib.Path("out.bin")
    with file.open("rb") as content, out.open("wb") as copy:
        copy.write(bytes(255 - byte for byte in content.read(16)))
        shutil.copyfileobj(content, copy, 1 << 20)
    return File(out)


@workflow
def main(file: File) -> File:
    return turn(file)
