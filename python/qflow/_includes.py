"""`[tool.qflow] include`: data that goes with the modules, by patterns such as `sql/*.sql` and `data/**`."""

import fnmatch
import importlib
import os
import pathlib
import re
from typing import Any, Callable, List, Optional, Set, Tuple

from ._errors import QflowError

LOOKED_AT = 100000  # entries of folders that one pattern looks at: one that begins with `**` in a large tree would not end


def patterns(shown: Callable[[str], str], entry: str, text: str, root: pathlib.Path) -> List[Tuple[str, str]]:
    """The patterns of the entry's script block and of the root's `pyproject.toml`, each with its place."""
    found = _of(block(text), text, shown(entry), is_block=True)
    project_shown = shown("pyproject.toml")
    try:
        project = (root / "pyproject.toml").read_text(encoding="utf-8")
    except FileNotFoundError:
        return found
    except (OSError, ValueError) as error:
        raise QflowError("read %s: %s" % (project_shown, error), code="invalid_source") from error
    return found + _of(project, project, project_shown, is_block=False)


def block(text: str) -> str:
    """The TOML of a file's PEP 723 block; empty where it has none that is closed."""
    lines = [line.rstrip("\r") for line in text.lstrip("\ufeff").split("\n")]
    if "# /// script" not in lines:
        return ""
    content: List[str] = []
    closed: Optional[int] = None
    for line in lines[lines.index("# /// script") + 1 :]:
        if not (line == "#" or line.startswith("# ")):
            break
        if line == "# ///":
            closed = len(content)
        content.append(line[2:])
    return "" if closed is None else "".join(line + "\n" for line in content[:closed])


def _of(toml: str, text: str, shown: str, is_block: bool) -> List[Tuple[str, str]]:
    if "include" not in toml:
        return []
    starts = (at for at, line in enumerate(text.split("\n"), 1) if line.lstrip("# ").startswith("include"))
    place = "%s:%d" % (shown, next(starts, 1))
    reader = _reader()
    if reader is None:
        if not _may_include(toml):
            return []
        remedy = "run this with Python 3.11 or newer, install tomli, or use `qflow run`"
        raise QflowError("%s: this Python cannot read TOML, so not what is included: %s" % (place, remedy), code="invalid_source")
    try:
        table: Any = reader.loads(toml)
    except ValueError as error:
        if is_block:
            return []  # the server says so, with its place
        raise QflowError("%s: it is not TOML: %s" % (place, error), code="invalid_source") from error
    for key in ("tool", "qflow", "include"):
        table = table.get(key) if isinstance(table, dict) else None
    if table is None:
        return []
    if not isinstance(table, list) or not all(isinstance(pattern, str) for pattern in table):
        raise QflowError("%s: include is no list of patterns; write include = [\"sql/*.sql\"]" % place, code="invalid_source")
    return [(place, pattern) for pattern in table]


def _reader() -> Any:
    """What reads TOML here: of Python 3.11 and newer its own, else a package that may be there."""
    for name in ("tomllib", "tomli"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _may_include(toml: str) -> bool:
    """Whether `[tool.qflow]` seems to have an `include`: other tools have their own."""
    header = ""
    for line in toml.splitlines():
        line = re.sub(r"[\s\"']", "", line)
        if line.startswith("["):
            header = line.strip("[]")
        elif "include" in line and "tool.qflow" in header + "." + line and not header.startswith("tool.qflow."):
            return True
    return False


def find(root: str, pattern: str) -> List[str]:
    """The files below a folder that a pattern matches, sorted. As in Python's `glob`, a `*` leaves out what is hidden."""
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if pattern.startswith("/") or ".." in parts:
        raise ValueError("it leads out of the root")
    walk = _Walk(root)
    walk.below("", parts)
    return sorted(walk.found)


class _Walk:
    def __init__(self, root: str) -> None:
        self.root, self.left = root, LOOKED_AT
        self.found: Set[str] = set()

    def below(self, folder: str, parts: List[str]) -> None:
        if not parts:
            return
        first, rest = parts[0], parts[1:]
        if first == "**":
            # No folder between, or any one of them; at the end every file below.
            self.below(folder, rest or ["*"])
            for name in self.entries(folder):
                whole = os.path.join(self.root, folder, name)
                # A link to a folder may lead round in a circle.
                if os.path.isdir(whole) and not os.path.islink(whole) and not name.startswith(".") and name != "__pycache__":
                    self.below(_joined(folder, name), parts)
        elif not re.search(r"[*?\[]", first):
            self.one(_joined(folder, first), rest)
        else:
            for name in self.entries(folder):
                if fnmatch.fnmatchcase(name, first) and (first.startswith(".") or not name.startswith(".")):
                    self.one(_joined(folder, name), rest)

    def one(self, path: str, rest: List[str]) -> None:
        whole = os.path.join(self.root, path)
        if not rest and os.path.isfile(whole):
            self.found.add(path)
        elif rest and os.path.isdir(whole):
            self.below(path, rest)

    def entries(self, folder: str) -> List[str]:
        """Names in a folder, in order; one that is no text cannot be sent, nor written in a pattern."""
        try:
            names = os.listdir(os.path.join(self.root, folder))
        except OSError as error:
            raise ValueError("list %s: %s" % (folder or "the root", error.strerror)) from error
        self.left -= len(names)
        if self.left < 0:
            raise ValueError("it looks at more than %d files and folders" % LOOKED_AT)
        return sorted(name for name in names if name == name.encode("utf-8", "ignore").decode("utf-8"))


def _joined(folder: str, name: str) -> str:
    return folder + "/" + name if folder else name
