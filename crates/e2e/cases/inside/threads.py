"""A file that starts a thread when it is imported, and containers that are and are not shared."""

import os
import threading
import time
from typing import List

from qflow import map, node, workflow

threading.Thread(target=time.sleep, args=(600,), daemon=True).start()


@node
def count(n: int) -> int:
    return threading.active_count() + n


@workflow
def main(ns: List[int] = [0, 1]) -> List[int]:
    return map(count, ns)
