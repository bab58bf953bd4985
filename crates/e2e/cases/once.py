"""A node that must not run twice: it writes down each time that it begins, and the first time it takes long."""
import os
import time

from qflow import node, workflow


@node(idempotent=False)
def charge(path: str) -> int:
    with open(path, "a") as file:
        file.write("begun\n")
    print("charging", flush=True)
    with open(path) as file:
        times = len(file.readlines())
    # It outlives its runner, and not the test, which takes the file away.
    while times == 1 and os.path.exists(path):
        time.sleep(0.1)
    return times


@workflow
def once(path: str) -> int:
    return charge(path)
