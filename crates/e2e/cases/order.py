"""A call by itself runs after every earlier call of its block and before every later one; modes of plain Python code inside nodes."""

import os
import time

from qflow import node, workflow


@node
def note(folder: str, word: str, wait: float = 0.0) -> int:
    time.sleep(wait)
    with open(os.path.join(folder, "notes"), "a") as notes:
        notes.write(word + " ")
    return len(word)


@node
def read(folder: str) -> str:
    with open(os.path.join(folder, "notes")) as notes:
        return " ".join(notes.read().split())


@workflow
def main(folder: str) -> str:
    note(folder, "first", wait=0.2)
    note(folder, "second")
    note(folder, "third")
    return read(folder)


CASES = [{"folder": None}]
