"""File by file, with failures: what can be read is counted, what cannot is named, and the run completes.

qflow run examples/logs.py
"""

from __future__ import annotations

from pathlib import Path

from qflow import File, Outcome, map, node, settled, workflow


@node
def fetch(names: list[str]) -> list[File]:
    """Stands for a bucket: one file a name, one of them cut off."""
    files = []
    for number, name in enumerate(names):
        path = File(name)
        path.write_text("".join(f"GET /{line} {200 if line % 4 else 500}\n" for line in range(1, 10 + number)))
        files.append(path)
    Path(names[1]).write_text("GET /1 200\nGET /2")
    return files


@node(retries=1, backoff="100ms")
def parse(log: File) -> dict[str, int]:
    counts: dict[str, int] = {}
    for number, line in enumerate(log.read_text().splitlines(), start=1):
        parts = line.split()
        if len(parts) != 3:
            raise ValueError(f"line {number} has {len(parts)} words, not 3")
        counts[parts[2]] = counts.get(parts[2], 0) + 1
    return counts


@node
def summary(names: list[str], outcomes: list[Outcome[dict[str, int]]]) -> dict[str, object]:
    counts: dict[str, int] = {}
    failed = {}
    for name, outcome in zip(names, outcomes):
        if outcome.error is None:
            for status, count in outcome.value.items():
                counts[status] = counts.get(status, 0) + count
        else:
            failed[name] = f"{outcome.error.type}: {outcome.error.message}"
    return {"counts": counts, "failed": failed}


@workflow
def logs(names: list[str] = ["a.log", "b.log", "c.log"]) -> dict[str, object]:
    return summary(names, map(settled(parse), fetch(names)))


if __name__ == "__main__":
    print(logs())
