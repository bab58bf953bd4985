"""Texts that are larger than a message's share of values: one at once, the others when they are told to."""

import os
import time
from typing import List

from qflow import map, node, workflow


@node
def fill(n: int, folder: str) -> str:
    print("filling", n)
    open("{}/begun-{}".format(folder, n), "w").close()
    while n > 0 and not os.path.exists(folder + "/go"):
        time.sleep(0.02)
    return str(n) * (3 << 19)


@node
def measure(text: str) -> int:
    return len(text)


@node
def total(counts: List[int]) -> int:
    return sum(counts)


@workflow
def main(folder: str) -> int:
    return total(map(measure, map(fill, [0, 1, 2, 3, 4, 5], folder=folder)))
