"""The files of a submission, as `qflow run` sends them: the one that is named, what it imports below its root, and what it includes."""

import ast
import collections
import os
import pathlib
import re
import warnings
from typing import Deque, Dict, Iterator, List, NamedTuple, Optional, Union

from . import _includes
from ._errors import QflowError

FILES = 500
SOURCE_BYTES = 256 << 10
SUBMISSION_BYTES = 2 << 20
LOOKED_AT = 10 * FILES  # enough to tell how far past the bound it is


class Source(NamedTuple):
    """A submission, and what there is to know of it although it may go."""

    entry: str
    files: Dict[str, str]
    warnings: List[str]


def collect(file: Union[str, "os.PathLike[str]"]) -> Source:
    """Reads all of it. Nothing is imported or run."""
    submission = _Submission(pathlib.Path(file))
    submission.follow()
    entry = submission.texts[submission.entry]
    for place, pattern in _includes.patterns(submission.shown, submission.entry, entry, submission.root):
        submission.include(place, pattern)
    submission.follow()
    submission.within(file)
    return Source(submission.entry, dict(sorted(submission.texts.items())), submission.warnings)


class _Submission:
    def __init__(self, file: pathlib.Path) -> None:
        if not file.is_file():
            what = "is a folder; name a file in it" if file.is_dir() else "is no file that can be read"
            raise QflowError("%s %s" % (file, what), code="invalid_source")
        # As Python does it: a script's folder is the one that it really lies in.
        path = pathlib.Path(os.path.realpath(str(file)))
        roots = (folder for folder in path.parents if (folder / "pyproject.toml").is_file())
        self.root = next(roots, path.parent)
        self.entry = path.relative_to(self.root).as_posix()
        self.base = self._base(file)
        self.texts: Dict[str, str] = {}
        self.wanted: Deque[str] = collections.deque([self.entry])
        self.warnings: List[str] = []

    def _base(self, file: pathlib.Path) -> pathlib.Path:
        """The root as the user would name it; a link, or a name with `..`, says nothing of where that is."""
        deep = len(self.entry.split("/"))
        above = list(file.parents)
        is_named = len(above) >= deep and os.path.realpath(str(above[deep - 1])) == str(self.root)
        return above[deep - 1] if is_named else self.root

    def shown(self, path: str) -> str:
        return str(self.base / path)

    def follow(self) -> None:
        """Reads what is wanted, and what that imports."""
        while self.wanted:
            path = self.wanted.popleft()
            if path in self.texts or len(self.texts) >= LOOKED_AT:
                continue
            self.texts[path] = text = self.read(path, SOURCE_BYTES, "a source file")
            for module in imported(text):
                self.wanted.extend(self.resolve(path, module))

    def read(self, path: str, bound: int, what: str) -> str:
        """A file below the root, as text and within a bound."""
        shown, target = self.shown(path), os.path.realpath(str(self.root / path))
        if os.path.commonpath([target, str(self.root)]) != str(self.root):
            remedy = "copy the file, or put pyproject.toml where both lie below it"
            raise QflowError("%s is a link to %s, out of %s: %s" % (shown, target, self.root, remedy), code="invalid_source")
        try:
            with open(target, "rb") as source:
                content = source.read(bound + 1)
                size = os.fstat(source.fileno()).st_size
        except OSError as error:
            raise QflowError("read %s: %s" % (shown, error.strerror), code="invalid_source") from error
        if len(content) > bound:
            raise QflowError("%s has %d bytes; %s has at most %d" % (shown, size, what, bound), code="invalid_source")
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError as error:
            told = "%s is not UTF-8 at byte %d; files are sent as text" % (shown, error.start)
            raise QflowError(told, code="invalid_source") from error

    def include(self, place: str, pattern: str) -> None:
        try:
            found = _includes.find(str(self.root), pattern)
        except ValueError as error:
            raise QflowError("%s: include \"%s\": %s" % (place, pattern, error), code="invalid_source") from error
        if not found:
            is_folder = (self.root / pattern).is_dir()
            remedy = "it is a folder: write its files as in \"data/*\"" if is_folder else "patterns count from the root"
            self.warnings.append("%s: include \"%s\" matches no file below %s: %s" % (place, pattern, self.root, remedy))
        for path in found:
            if path.endswith(".py"):
                self.wanted.append(path)
            elif path not in self.texts and len(self.texts) < LOOKED_AT:
                self.texts[path] = self.read(path, SUBMISSION_BYTES, "a submission")

    def within(self, file: object) -> None:
        """Whether it keeps its bounds."""
        with_all = "%s with what it imports and includes has" % file
        count = len(self.texts)
        if count > FILES:
            told = "a submission has at most %d files; %s %s%d" % (FILES, with_all, "at least " if count >= LOOKED_AT else "", count)
            raise QflowError(told, code="invalid_source")
        sizes = {path: len(text.encode("utf-8")) for path, text in self.texts.items()}
        size = sum(sizes.values()) + sum(len(path.encode("utf-8")) for path in sizes)
        if size > SUBMISSION_BYTES:
            largest = sorted(sizes, key=lambda path: (-sizes[path], path))[:3]
            named = ", ".join("%s has %d" % (path, sizes[path]) for path in largest)
            told = "a submission has at most %d bytes; %s %d (%s); give data as a `File` parameter"
            raise QflowError(told % (SUBMISSION_BYTES, with_all, size, named), code="invalid_source")

    def resolve(self, importer: str, module: str) -> List[str]:
        """The files that an import brings with it: the packages on the way and the module. Nothing where it leads out of the root."""
        name = module.lstrip(".")
        level, parts = len(module) - len(name), [part for part in name.split(".") if part]
        found: List[str] = []
        if level == 0:
            if parts[:1] == ["qflow"]:
                return []
            folders = [folder_of(self.entry), "", "src"]
        else:
            above = importer.split("/")
            if level > len(above):
                return []
            package = above[: len(above) - level]
            folders = ["/".join(package)]
            # A relative import needs the packages that it is relative to.
            for end in range(len(package), -1, -1):
                init = joined("/".join(package[:end]), "__init__.py")
                if not self.is_file(init):
                    break
                found.append(init)
        for part in parts:
            step = self.part(folders, part)
            if isinstance(step, str):
                found.append(step)
                if not step.endswith("/__init__.py"):
                    break
                folders = [folder_of(step)]
            elif not step:
                break
            else:
                folders = step
        return found

    def part(self, folders: List[str], name: str) -> Union[str, List[str]]:
        """What a part of a dotted name is: a package's or a module's file, else the folders that hold parts of a namespace package."""
        portions = []
        for folder in folders:
            path = joined(folder, name)
            for file in (path + "/__init__.py", path + ".py"):
                if self.is_file(file):
                    return file
            if (self.root / path).is_dir():
                portions.append(path)
        return portions

    def is_file(self, path: str) -> bool:
        return (self.root / path).is_file()


def joined(folder: str, name: str) -> str:
    return folder + "/" + name if folder else name


def folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def imported(text: str) -> List[str]:
    """Modules that a file imports anywhere in it, relative ones with their dots; `from a import b` names `a` and `a.b`."""
    text = text.lstrip("\ufeff")
    tree = _parsed(text)
    statements = ast.walk(tree) if tree is not None else _by_line(text)
    found: List[str] = []
    for statement in statements:
        if isinstance(statement, ast.Import):
            found.extend(alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            module = "." * statement.level + (statement.module or "")
            joint = "." if statement.module else ""
            found.append(module)
            found.extend(module + joint + alias.name for alias in statement.names if alias.name != "*")
    return found


def _parsed(text: str) -> Optional[ast.Module]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


_IMPORT = re.compile(r"^[ \t]*((?:import|from)[ \t.]+[^(#\n;]*(?:\([^()]*\))?)", re.MULTILINE)


def _by_line(text: str) -> Iterator[ast.AST]:
    """The imports of a file that this Python cannot read, such as one in the syntax of a newer: its nodes may run in another."""
    for written in _IMPORT.findall(text):
        tree = _parsed(written.strip())
        if tree is not None:
            yield from tree.body
