"""Files and folders as they travel: a file as it is, a folder as the tar archive that a node's own `Folder` becomes."""

import os
import pathlib
import shutil
import stat
import tarfile
import tempfile
from typing import IO, Any, Callable, Iterator, NamedTuple, cast

from ._errors import QflowError
from ._wire import PIECE_BYTES, Answer

VALUE_BYTES = 1 << 30
ENTRIES = 100000  # of a folder: more belongs into one file


class Content(NamedTuple):
    """A file or folder that may be sent."""

    path: pathlib.Path
    kind: str
    name: str

    def pieces(self) -> Iterator[bytes]:
        """All of it; no more than a piece is held in memory."""
        size = 0
        for piece in _file(self.path) if self.kind == "file" else _folder(str(self.path)):
            size += len(piece)
            _within(size, self.path)
            yield piece


def look(path: pathlib.Path, told: str) -> Content:
    """What is there; says why it cannot go before any of it does."""
    try:
        found = path.stat()
    except OSError as error:
        raise _wrong("%sread %s: %s" % (told, path, error.strerror)) from error
    is_folder = stat.S_ISDIR(found.st_mode)
    if not (is_folder or stat.S_ISREG(found.st_mode)):
        raise _wrong("%s%s is neither a file nor a folder" % (told, path))
    if is_folder:
        count = 0
        for inner in _walked(str(path), ""):
            count += 1
            if count > ENTRIES:
                raise _wrong("%s%s: more than %d files, which is the bound of a folder" % (told, path, ENTRIES))
            del inner
    else:
        _within(found.st_size, path)
    # That of `.` is its folder's.
    name = path.name or pathlib.Path(os.path.realpath(str(path))).name or "content"
    return Content(path, "folder" if is_folder else "file", name if name != ".." else "content")


def _within(size: int, path: object) -> None:
    if size > VALUE_BYTES:
        remedy = "keep it in a store of yours and pass its address"
        raise _wrong("%s has %d bytes; a file or folder has at most %d: %s" % (path, size, VALUE_BYTES, remedy))


def _wrong(why: str) -> QflowError:
    return QflowError(why, code="invalid_content")


def _file(path: object) -> Iterator[bytes]:
    # Where a pipe has taken its place meanwhile, nobody waits for it.
    try:
        with os.fdopen(os.open(str(path), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as source:
            yield from iter(lambda: source.read(PIECE_BYTES), b"")
    except OSError as error:
        raise _wrong("read %s: %s" % (path, error.strerror)) from error


def _folder(root: str) -> Iterator[bytes]:
    """The archive, byte for byte as the harness writes it: sorted, without owners and times, two modes only."""
    for inner in _walked(root, ""):
        whole = os.path.join(root, inner)
        told, info = os.lstat(whole), tarfile.TarInfo(inner)
        if stat.S_ISDIR(told.st_mode):
            info.type, info.mode = tarfile.DIRTYPE, 0o755
        else:
            info.size, info.mode = told.st_size, 0o755 if told.st_mode & 0o111 else 0o644
        yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
        if info.isreg():
            left = info.size
            for piece in _file(whole):
                left -= len(piece)
                if left < 0:
                    break
                yield piece
            if left:
                raise _wrong("%s: it changed while it was read" % whole)
            yield b"\0" * (-info.size % tarfile.BLOCKSIZE)
    yield b"\0" * 2 * tarfile.BLOCKSIZE


def _walked(root: str, below: str) -> Iterator[str]:
    """What is in a folder by relative path, sorted; links and what is neither file nor folder are refused."""
    try:
        names = sorted(os.listdir(os.path.join(root, below)))
    except OSError as error:
        raise _wrong("read %s: %s" % (os.path.join(root, below), error.strerror)) from error
    for name in names:
        inner = "%s/%s" % (below, name) if below else name
        whole = os.path.join(root, inner)
        mode = os.lstat(whole).st_mode
        if stat.S_ISLNK(mode):
            raise _wrong("%s: a symbolic link does not travel; copy what it points to" % whole)
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise _wrong("%s: neither a file nor a folder" % whole)
        if name != name.encode("utf-8", "ignore").decode("utf-8"):
            raise _wrong("%r: its name is not UTF-8" % whole)
        yield inner
        if stat.S_ISDIR(mode):
            yield from _walked(root, inner)


def save(answer: Answer, to: pathlib.Path, replace: bool) -> None:
    """Writes an answer to a file, a folder's archive to a folder; it appears under its name once it is whole."""
    is_folder = answer.header("Qflow-Kind") == "folder"
    if to.is_dir() and not (is_folder and not os.listdir(str(to))):
        raise FileExistsError("%s is a folder%s; name what is not there" % (to, " that holds something" if is_folder else ""))
    if os.path.lexists(str(to)) and not to.is_dir() and (is_folder or not replace):
        raise FileExistsError("%s is there already%s" % (to, "" if is_folder else ": replace=True writes over it"))
    write: Callable[[Answer, str], None] = _unpack if is_folder else _write
    beside = tempfile.mkdtemp(prefix=".qflow-", dir=str(to.absolute().parent))
    try:
        whole = os.path.join(beside, "whole")
        write(answer, whole)
        os.replace(whole, str(to))
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write(answer: Answer, to: str) -> None:
    with open(to, "wb") as file:
        for piece in iter(answer.read, b""):
            file.write(piece)


class _Exactly:
    """An answer as `tarfile` reads a stream: as many bytes as are asked for, fewer only at the end."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def read(self, size: int) -> bytes:
        pieces = []
        while size > 0:
            piece = self.answer.read(min(size, PIECE_BYTES))
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)


def _unpack(answer: Answer, to: str) -> None:
    os.mkdir(to)
    try:
        with tarfile.open(fileobj=cast(Any, _Exactly(answer)), mode="r|") as archive:
            for member in archive:
                _member(archive, member, to)
        answer.whole()
    except tarfile.TarError as error:
        raise QflowError("the folder's archive cannot be read: %s" % error, code="broken") from error


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo, to: str) -> None:
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if member.name.startswith("/") or ".." in parts or "\\" in member.name or not (member.isreg() or member.isdir()):
        raise QflowError("the folder's archive holds `%s`, which does not belong there" % member.name, code="broken")
    path = os.path.join(to, *parts)
    if member.isdir():
        os.makedirs(path, exist_ok=True)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    content = cast(IO[bytes], archive.extractfile(member))
    with open(path, "wb") as file:
        shutil.copyfileobj(content, file)
    os.chmod(path, 0o755 if member.mode & 0o111 else 0o644)
