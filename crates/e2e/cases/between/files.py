"""A file and a folder from node to node."""

import os
import pathlib
from typing import List

from qflow import File, Folder, map, node, workflow


@node
def split(rows: int) -> Folder:
    folder = pathlib.Path("parts")
    (folder / "by" / "day").mkdir(parents=True)
    for day in range(3):
        (folder / "by" / "day" / ("%d.csv" % day)).write_text("row\n" * rows * day)
    return Folder(folder)


@node
def pick(day: int, folder: Folder) -> File:
    return File(folder / "by" / "day" / ("%d.csv" % day))


@node
def lines(file: File) -> str:
    try:
        open(file, "a").close()
        writable = os.geteuid() != 0
    except OSError:
        writable = False
    return "%s %s %d %s" % (type(file).__name__, file.name, len(file.read_text().splitlines()), writable)


@node
def all_of(files: List[File]) -> int:
    return sum(os.path.getsize(file) for file in files)


@workflow
def main(rows: int = 50000, days: List[int] = [0, 1, 2]) -> dict:  # type: ignore[type-arg]
    folder = split(rows)
    files = map(pick, days, folder=folder)
    return {"lines": map(lines, files), "bytes": all_of(files)}
