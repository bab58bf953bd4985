"""Nodes that write, wait to be told, and write again."""

import os
import time
from typing import List

import qflow
from qflow import map, node, workflow


@node
def talk(n: int, folder: str) -> int:
    print("before", n)
    qflow.log("counted", n=n)
    while not os.path.exists(folder + "/go"):
        time.sleep(0.02)
    print("after", n)
    return n


@workflow
def main(folder: str) -> int:
    return total(map(talk, [0, 1, 2, 3], folder=folder))


@node
def total(counts: List[int]) -> int:
    return sum(counts)
