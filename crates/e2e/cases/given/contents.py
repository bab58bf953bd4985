"""Files and folders that come from the command line, and results that go back to it."""

import hashlib
import os
from typing import Dict, List, Optional

from qflow import File, Folder, node, workflow


@node(memory="256MiB")
def same(file: File) -> File:
    return file


@node
def digest(file: File) -> Dict[str, str]:
    whole = hashlib.sha256()
    with open(file, "rb") as source:
        for piece in iter(lambda: source.read(1 << 20), b""):
            whole.update(piece)
    return {"name": file.name, "sha256": whole.hexdigest()}


@node
def listed(folder: Folder) -> List[str]:
    found = []
    for at, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(at, name)
            found.append("%s %s %s" % (os.path.relpath(path, folder), os.access(path, os.X_OK), open(path).read()))
    return sorted(found)


@node
def made(folder: Folder) -> Folder:
    out = "made"
    os.makedirs(os.path.join(out, "deep"))
    with open(os.path.join(out, "deep", "names.txt"), "w") as names:
        names.write(",".join(sorted(os.listdir(folder))))
    return Folder(out)


@node
def large(rows: int) -> List[Dict[str, str]]:
    return [{"row": str(row), "text": "x" * 100} for row in range(rows)]


@node
def text() -> str:
    return "a text\nof two lines"


@node
def either(file: Optional[File]) -> str:
    return "none" if file is None else file.read_text()


@workflow
def back(x: File) -> File:
    return same(x)


@workflow
def told(x: File) -> Dict[str, str]:
    return digest(x)


@workflow
def folder(x: Folder) -> List[str]:
    return listed(x)


@workflow
def another(x: Folder) -> Folder:
    return made(x)


@workflow
def rows(count: int = 50000) -> List[Dict[str, str]]:
    return large(count)


@workflow
def several(x: File) -> dict:  # type: ignore[type-arg]
    return {"first": same(x), "told": digest(x), "words": text()}


@workflow
def words() -> str:
    return text()


@workflow
def maybe(x: Optional[File] = None) -> str:
    return either(x)
