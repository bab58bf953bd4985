"""Content that moves with a value: pieces of a file, of a folder as an archive, or of bytes in memory, none of it held whole."""

import os
import stat
import sys

from qflow_frames import VALUE_BYTES

PIECE_BYTES = 1 << 20  # of content on its way: what each process between here and the store holds of it
WHOLE_BYTES = 64 << 10  # up to it bytes go with the value's message
ENTRIES = 100000  # of a folder: more belongs into one file


class TooLarge(Exception):
    """A value past its bound, with its path."""


class Refused(Exception):
    """Content that does not travel, with its path."""


def bounded(pieces, path):
    """The pieces, up to the bound of a value."""
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > VALUE_BYTES:
            raise TooLarge("%s: more than %d bytes, which is the bound of a value; keep it in a store of yours" % (path, VALUE_BYTES))
        yield piece


def of_bytes(data, _path):
    view = memoryview(data)
    for at in range(0, len(view), PIECE_BYTES):
        yield view[at : at + PIECE_BYTES]


def of_file(name, path):
    """A regular file's content; a pipe or a device is never waited for."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as failed:
        raise Refused("%s: %s" % (path, failed))
    with os.fdopen(fd, "rb", 0) as source:
        told = os.fstat(fd)
        if not stat.S_ISREG(told.st_mode):
            raise Refused("%s: %s is not a regular file" % (path, name))
        if told.st_size > VALUE_BYTES:
            said = "%s: a file of %d bytes, where %d are allowed; keep it in a store of yours"
            raise TooLarge(said % (path, told.st_size, VALUE_BYTES))
        while True:
            piece = source.read(PIECE_BYTES)
            if not piece:
                return
            yield piece


class Gathered:
    """What an archive is written to: whole pieces of it are taken away as they come."""

    def __init__(self):
        self.buffer, self.ready = bytearray(), []

    def write(self, data):
        self.buffer += data
        while len(self.buffer) >= PIECE_BYTES:
            self.ready.append(bytes(self.buffer[:PIECE_BYTES]))
            del self.buffer[:PIECE_BYTES]
        return len(data)

    def take(self):
        ready, self.ready = self.ready, []
        return ready


def of_folder(name, path):
    """A folder as a tar archive that says the same of the same content: sorted, without owners and times, two modes only."""
    import tarfile

    if os.path.islink(name) or not os.path.isdir(name):
        raise Refused("%s: %s is not a folder" % (path, name))
    out, count = Gathered(), 0
    for inner in walked(name, "", path):
        count += 1
        if count > ENTRIES:
            raise Refused("%s: more than %d files, which is the bound of a folder" % (path, ENTRIES))
        whole = os.path.join(name, inner)
        told, info = os.lstat(whole), tarfile.TarInfo(inner)
        if stat.S_ISDIR(told.st_mode):
            info.type, info.mode = tarfile.DIRTYPE, 0o755
        else:
            info.size, info.mode = told.st_size, 0o755 if told.st_mode & 0o111 else 0o644
        out.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        if info.isreg():
            left = info.size
            for piece in of_file(whole, "%s/%s" % (path, inner)):
                left -= len(piece)
                out.write(piece)
                yield from out.take()
            if left:
                raise Refused("%s/%s: it changed while it was read" % (path, inner))
            out.write(b"\0" * (-info.size % tarfile.BLOCKSIZE))
        yield from out.take()
    out.write(b"\0" * 2 * tarfile.BLOCKSIZE)
    yield from out.take()
    if out.buffer:
        yield bytes(out.buffer)


def walked(root, below, path):
    """What is in a folder by relative path, sorted; links and what is neither file nor folder are refused."""
    for name in sorted(os.listdir(os.path.join(root, below))):
        inner = "%s/%s" % (below, name) if below else name
        mode = os.lstat(os.path.join(root, inner)).st_mode
        if stat.S_ISLNK(mode):
            raise Refused("%s/%s: a symbolic link does not travel; copy what it points to" % (path, inner))
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise Refused("%s/%s: neither a file nor a folder" % (path, inner))
        yield inner
        if stat.S_ISDIR(mode):
            yield from walked(root, inner, path)


def read_whole(attachment):
    """An attachment's bytes: as they came, or from where the runner has put them."""
    if isinstance(attachment, str):
        with open(attachment, "rb") as source:
            return source.read()
    return attachment


def name_of(path):
    """What a consumer's copy is called."""
    name = os.path.basename(os.path.normpath(str(path)))
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        name = ""
    return name if name not in ("", ".", "..") else "content"


def sdk():
    return sys.modules["qflow"]
