"""Floors of this machine, in this minute: prints one JSON object of medians in milliseconds.

fork_ms     F: a request over a unix socket to a warm Python that forks, runs a function and tells its result
commit_ms   K: one row committed to SQLite as Qflow's store has it (WAL, synchronous=FULL), one after another
commits_s   C: such commits a second
"""

import json
import os
import socket
import sqlite3
import sys
import tempfile
import time

ROUNDS = 300


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def zygote(sock):
    """Forks once for every byte it reads; the child answers."""
    while sock.recv(1):
        if os.fork() == 0:
            sock.sendall(json.dumps(fibonacci(10)).encode())
            os._exit(0)
        os.wait()


def fork_ms():
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        zygote(theirs)
        os._exit(0)
    theirs.close()
    took = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        ours.sendall(b"x")
        assert ours.recv(64) == b"55"
        took.append((time.perf_counter() - begun) * 1e3)
    ours.close()
    os.wait()
    return sorted(took)[ROUNDS // 2]


def commits(folder):
    database = sqlite3.connect(os.path.join(folder, "floor.db"), isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE floor (id INTEGER PRIMARY KEY, row TEXT)")
    took = []
    for i in range(ROUNDS):
        begun = time.perf_counter()
        database.execute("INSERT INTO floor VALUES (?, ?)", (i, "x" * 200))
        took.append((time.perf_counter() - begun) * 1e3)
    return sorted(took)[ROUNDS // 2], ROUNDS / (sum(took) / 1e3)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        commit_ms, commits_s = commits(folder)
    print(json.dumps({"fork_ms": fork_ms(), "commit_ms": commit_ms, "commits_s": commits_s}))
