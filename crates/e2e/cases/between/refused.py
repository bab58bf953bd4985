"""Values that are not what is declared, or have no form."""

import pathlib
import threading
from typing import Any, Dict, List

from qflow import File, Folder, node, workflow

from shapes.parts import Part, Priced, Renamed


@node
def parts(renamed: bool) -> Dict[str, List[Part]]:
    return {"a": [Part("x"), Renamed("y") if renamed else Priced("y")]}


@node
def names(parts: Dict[str, List[Part]]) -> List[str]:
    return [type(part).__name__ for part in parts["a"]]


@workflow
def base(renamed: bool = True) -> List[str]:
    return names(parts(renamed))


@node
def lock() -> Dict[str, Any]:
    return {"locks": [threading.Lock()]}


@workflow
def formless() -> Dict[str, Any]:
    return lock()


@node
def linked() -> Folder:
    folder = pathlib.Path("out")
    folder.mkdir()
    (folder / "passwords").symlink_to("/etc/passwd")
    return Folder(folder)


@node
def count(folder: Folder) -> int:
    return len(list(folder.iterdir()))


@workflow
def link() -> int:
    return count(linked())


@node
def missing() -> File:
    return File("nowhere.csv")


@workflow
def absent() -> File:
    return missing()


@node
def named() -> pathlib.Path:
    return pathlib.Path("out/report.csv")


@node
def name(path: pathlib.Path) -> str:
    return path.name


@workflow
def path() -> str:
    return name(named())
