"""The harness: zygote, template and attempt, over the frames of docs/HARNESS.md. One file, stdlib only, Python 3.8+."""
import __future__

import array
import ast
import base64
import collections
import ctypes
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import io
import json
import marshal
import os
import random
import re
import resource
import selectors
import shutil
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
import traceback

FRAME_BYTES = 4 << 20  # the grammar's bound on a frame
LOG_BYTES = 8 << 20  # stdio an attempt, as the design promises
LINE_BYTES = 64 << 10  # one line; a flood without newlines is cut into such
INLINE_BYTES = 32 << 10  # past it a list gets an offset table
BYTES_INLINE = 4 << 10  # past it bytes are an attachment
VALUE_BYTES = 1 << 30  # a referenced value
SCALAR_BYTES = 256  # a text that an answer may carry
OUT_BYTES = 16 << 20  # past it the child is not read until the runner has read
GRACE_S = 5.0  # between SIGTERM and SIGKILL at a time-out
FIRST_S = 0.02  # after an import: its first attempt comes at once, and may be the only one
REDIAL_S = 0.25  # between two tries to reach the runner
ORPHAN_S = 120.0  # without a runner the container is of no use
LOG_FLUSH_S = 0.05  # lines wait so long for company
SPARE_BYTES = 64 << 10  # past it an attempt forks for itself: what a socket surely takes at once
COUNT_S = 0.1  # between two counts of processes, where no cgroup bounds them
PROGRESS_S = 0.1  # between two words of progress: more nobody reads
SPANS = 1000  # of an attempt's own: more makes a trace unreadable
WARNINGS = 20  # of an attempt
REAP_S = 2.0  # to end what an attempt started; past it the container goes
MESSAGE_CHARS, TRACEBACK_CHARS = 16 << 10, 64 << 10
KILLED = 71  # the exit code that says that the template was killed, in its container by whom else
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36
HERE = os.path.abspath(__file__)
SDK = os.environ.get("QFLOW_SDK") or os.path.dirname(os.path.dirname(HERE))
WIPED = [folder for folder in os.environ.get("QFLOW_WIPED", "").split(":") if folder]  # the container's own
libc = ctypes.CDLL(None)


# ---------------------------------------------------------------- frames


class Protocol(Exception):
    """A frame outside the grammar."""


def frame(kind, body):
    return struct.pack(">Ic", len(body) + 1, kind) + body


def message(**fields):
    return frame(b"J", json.dumps(fields, separators=(",", ":")).encode("utf-8", "surrogatepass"))


def blob(data):
    view = memoryview(data)
    return [frame(b"B", bytes(view[i : i + FRAME_BYTES])) for i in range(0, len(view), FRAME_BYTES)]


class Inbox:
    """Cuts received bytes into messages; a message that announces bytes comes together with them."""

    def __init__(self):
        self.buffer, self.waiting, self.left, self.parts = bytearray(), None, 0, bytearray()

    def feed(self, data):
        self.buffer += data
        out, at = [], 0
        while len(self.buffer) - at >= 5:
            (length,) = struct.unpack_from(">I", self.buffer, at)
            if not 1 <= length <= FRAME_BYTES + 1:
                raise Protocol("a frame of %d bytes" % length)
            if len(self.buffer) - at < 4 + length:
                break
            kind, body = self.buffer[at + 4], bytes(self.buffer[at + 5 : at + 4 + length])
            at += 4 + length
            self._take(kind, body, out)
        del self.buffer[:at]
        return out

    def _take(self, kind, body, out):
        if kind == 74:  # J
            if self.left:
                raise Protocol("a message where bytes were announced")
            try:
                said = json.loads(body.decode("utf-8", "surrogatepass"))
                said["type"]
                self.left = int(said.get("size") or 0) + sum(int(a["size"]) for a in said.get("attachments") or ())
            except (ValueError, KeyError, TypeError, AttributeError):
                raise Protocol("a message that is not a JSON object with a type")
            if not 0 <= self.left <= VALUE_BYTES + (64 << 20):
                raise Protocol("%d bytes announced" % self.left)
            self.waiting, self.parts = said, bytearray()
        elif kind == 66 and self.left:  # B
            self.parts += body
            self.left -= len(body)
            if self.left < 0:
                raise Protocol("more bytes than announced")
        else:
            raise Protocol("a frame of kind %d" % kind)
        if not self.left:
            said, self.waiting = self.waiting, None
            out.append((said, bytes(self.parts)))


# ---------------------------------------------------------------- values


class Unserialisable(Exception):
    """A value that has no form, with its path."""


def surrogates(text):
    try:
        text.encode("utf-8")
        return False
    except UnicodeEncodeError:
        return True


def dumps(form):
    return json.dumps(form, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def named(cls):
    return "%s.%s" % (cls.__module__, cls.__qualname__)


class Encoder:
    """A Python value to the tagged form of docs/VALUES.md, with its attachments."""

    def __init__(self):
        self.attachments, self.inside = [], set()

    def attach(self, kind, data):
        self.attachments.append((kind, data))
        return {"$": "attachment", "k": kind, "i": len(self.attachments) - 1}

    def form(self, value, path="result"):
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return self.text(value)
        if kind is int:
            return value if -(2**53) <= value <= 2**53 else {"$": "int", "v": str(value)}
        if kind is float:
            return value if value - value == 0 else {"$": "float", "v": repr(value)}
        if id(value) in self.inside:
            raise Unserialisable("%s: a %s that contains itself" % (path, kind.__name__))
        self.inside.add(id(value))
        try:
            if len(self.inside) > 200:
                raise Unserialisable("%s: nested deeper than 200" % path[:200])
            return self.container(value, kind, path)
        finally:
            self.inside.discard(id(value))

    @staticmethod
    def text(value):
        if value.isascii() or not surrogates(value):
            return value
        return {"$": "str", "v": base64.b64encode(value.encode("utf-8", "surrogatepass")).decode()}

    def items(self, values, path):
        return [self.form(v, "%s[%d]" % (path, i)) for i, v in enumerate(values)]

    def container(self, value, kind, path):
        import enum

        if isinstance(value, enum.Enum):
            return {"$": "enum", "t": named(kind), "v": value.name}
        if isinstance(value, dict):
            return self.mapping(value, path)
        if isinstance(value, tuple):
            if hasattr(value, "_fields"):
                return self.fields(value, value._fields, path)
            return {"$": "tuple", "v": self.items(value, path)}
        if isinstance(value, (list, collections.deque)):
            return self.items(value, path)
        if isinstance(value, (set, frozenset)):
            forms = sorted((self.form(v, path + "{…}") for v in value), key=dumps)
            return {"$": "set" if isinstance(value, set) else "frozenset", "v": forms}
        if isinstance(value, (bytes, bytearray, memoryview)):
            data = bytes(value)
            if len(data) <= BYTES_INLINE:
                return {"$": "bytes", "v": base64.b64encode(data).decode()}
            return self.attach("bytes", data)
        for base, cast in ((str, str.__str__), (int, int.__int__), (float, float.__float__)):
            if isinstance(value, base):
                return self.form(cast(value), path)
        return self.other(value, kind, path)

    def mapping(self, value, path):
        if all(isinstance(k, str) and not (not k.isascii() and surrogates(k)) for k in value):
            return {("$" + k if k[:1] == "$" else str(k)): self.form(v, "%s[%r]" % (path, k)) for k, v in value.items()}
        pairs = [[self.form(k, "%s key %r" % (path, k)), self.form(v, "%s[%r]" % (path, k))] for k, v in value.items()]
        return {"$": "map", "v": pairs}

    def fields(self, value, names, path):
        inner = {n: self.form(getattr(value, n), "%s.%s" % (path, n)) for n in names}
        return {"$": "object", "t": named(type(value)), "v": inner}

    def other(self, value, kind, path):
        import dataclasses
        import datetime
        import decimal
        import pathlib
        import uuid

        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self.fields(value, [f.name for f in dataclasses.fields(value)], path)
        if isinstance(value, datetime.datetime):
            if type(value) is not datetime.datetime and hasattr(value, "to_pydatetime"):
                value = value.to_pydatetime(warn=False)
            return {"$": "datetime", "v": value.isoformat()}
        if isinstance(value, datetime.date):
            return {"$": "date", "v": value.isoformat()}
        if isinstance(value, datetime.time):
            return {"$": "time", "v": value.isoformat()}
        if isinstance(value, datetime.timedelta):
            return {"$": "timedelta", "v": [value.days, value.seconds, value.microseconds]}
        if isinstance(value, decimal.Decimal):
            return {"$": "decimal", "v": str(value)}
        if isinstance(value, uuid.UUID):
            return {"$": "uuid", "v": str(value)}
        if isinstance(value, complex):
            return {"$": "complex", "v": [repr(value.real), repr(value.imag)]}
        if isinstance(value, pathlib.PurePath):
            return self.file(value, path)
        names = getattr(kind, "model_fields", None) or getattr(kind, "__fields__", None)
        if isinstance(names, dict) and (hasattr(kind, "model_validate") or hasattr(kind, "parse_obj")):
            return self.fields(value, list(names), path)
        return self.scientific(value, kind, path)

    def file(self, value, path):
        marker = getattr(value, "__qflow_kind__", None)
        if marker is None:
            return {"$": "path", "v": str(value)}
        if marker != "file":
            raise Unserialisable("%s: a qflow.%s does not travel yet; return a File" % (path, type(value).__name__))
        try:
            with open(str(value), "rb") as source:
                return self.attach("file", source.read())
        except OSError as failed:
            raise Unserialisable("%s: %s" % (path, failed))

    def scientific(self, value, kind, path):
        root = (kind.__module__ or "").partition(".")[0]
        try:
            if root == "pandas" and kind.__name__ in ("DataFrame", "Series"):
                return self.attach("arrow", arrow_of_pandas(value))
            if root == "polars" and kind.__name__ == "DataFrame":
                return self.attach("arrow", arrow_bytes(value.to_arrow(), b"polars"))
            if root == "pyarrow" and kind.__name__ == "Table":
                return self.attach("arrow", arrow_bytes(value, b"pyarrow"))
        except ModuleNotFoundError:
            raise Unserialisable("%s: a %s travels by pyarrow: add it to the node's requirements" % (path, named(kind)))
        except (ValueError, TypeError) as failed:
            raise Unserialisable("%s: %s: %s" % (path, named(kind), failed))
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(value, numpy.ndarray):
            out = io.BytesIO()
            try:
                numpy.save(out, value, allow_pickle=False)
            except ValueError as failed:
                raise Unserialisable("%s: %s: %s" % (path, named(kind), failed))
            return self.attach("npy", out.getvalue())
        if numpy is not None and isinstance(value, numpy.generic) and type(value.item()) is not kind:
            return self.form(value.item(), path)
        raise Unserialisable("%s: a value of type %s has no form" % (path, named(kind)))


def arrow_bytes(table, kind):
    import pyarrow

    table = table.replace_schema_metadata(dict(table.schema.metadata or {}, qflow=kind))
    out = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue().to_pybytes()


def arrow_of_pandas(value):
    import pyarrow
    import pyarrow.ipc

    if hasattr(value, "to_frame"):  # a Series: its name may be None, which a column's cannot
        label = "" if value.name is None else "=" + str(value.name)
        return arrow_bytes(pyarrow.Table.from_pandas(value.to_frame(name="0")), ("series" + label).encode())
    return arrow_bytes(pyarrow.Table.from_pandas(value), b"pandas")


def pandas_of_arrow(data):
    import pyarrow
    import pyarrow.ipc

    table = pyarrow.ipc.open_stream(data).read_all()
    kind = (table.schema.metadata or {}).get(b"qflow", b"pandas").decode()
    if kind == "pyarrow":
        return table
    if kind == "polars":
        import polars

        return polars.from_arrow(table)
    frame_ = table.to_pandas()
    if not kind.startswith("series"):
        return frame_
    series = frame_["0"]
    series.name = kind[7:] if "=" in kind else None
    return series


def encoding(value):
    """The encoding with its offset table, the number of items where it has one, and the attachments."""
    encoder = Encoder()
    try:
        form = encoder.form(value)
        items = None
        if isinstance(form, list):
            parts = [dumps(item).encode() for item in form]
            data = b"[" + b",".join(parts) + b"]"
            if len(data) > INLINE_BYTES:
                starts, at, items = [], 1, len(parts)
                for part in parts:
                    starts.append(at)
                    at += len(part) + 1
                data += b"\n" + ",".join(map(str, starts)).encode() + b"\n" + b"%020d" % len(data)
        else:
            data = dumps(form).encode()
    except RecursionError:
        raise Unserialisable("result: nested too deeply")
    return data, items, encoder.attachments


class Decoder:
    """The tagged form back to Python values."""

    def __init__(self, attachments, home):
        self.attachments, self.home = attachments, home

    def value(self, form):
        if isinstance(form, list):
            return [self.value(item) for item in form]
        if not isinstance(form, dict):
            return form
        if "$" in form:
            return getattr(self, "_" + form["$"])(form)
        return {(k[1:] if k[:1] == "$" else k): self.value(v) for k, v in form.items()}

    def _int(self, form):
        return int(form["v"])

    def _float(self, form):
        return float(form["v"])

    def _complex(self, form):
        return complex(float(form["v"][0]), float(form["v"][1]))

    def _decimal(self, form):
        import decimal

        return decimal.Decimal(form["v"])

    def _date(self, form):
        import datetime

        return datetime.date.fromisoformat(form["v"])

    def _datetime(self, form):
        import datetime

        return datetime.datetime.fromisoformat(iso(form["v"]))

    def _time(self, form):
        import datetime

        return datetime.time.fromisoformat(iso(form["v"]))

    def _timedelta(self, form):
        import datetime

        return datetime.timedelta(*form["v"])

    def _uuid(self, form):
        import uuid

        return uuid.UUID(form["v"])

    def _path(self, form):
        import pathlib

        return pathlib.Path(form["v"])

    def _str(self, form):
        return base64.b64decode(form["v"]).decode("utf-8", "surrogatepass")

    def _bytes(self, form):
        return base64.b64decode(form["v"])

    def _tuple(self, form):
        return tuple(self.value(form["v"]))

    def _set(self, form):
        return set(self.value(form["v"]))

    def _frozenset(self, form):
        return frozenset(self.value(form["v"]))

    def _map(self, form):
        return {self.value(k): self.value(v) for k, v in form["v"]}

    def _enum(self, form):
        return find_class(form["t"])[form["v"]]

    def _object(self, form):
        return build(find_class(form["t"]), {k: self.value(v) for k, v in form["v"].items()})

    def _attachment(self, form):
        kind, data = form["k"], self.attachments[form["i"]]
        if kind == "bytes":
            return data
        if kind == "npy":
            import numpy

            return numpy.load(io.BytesIO(data), allow_pickle=False)
        if kind == "arrow":
            return pandas_of_arrow(data)
        path = os.path.join(self.home, "file-%d" % form["i"])
        with open(path, "wb") as out:
            out.write(data)
        os.chmod(path, 0o444)
        return sys.modules["qflow"].File(path)


def iso(text):
    """3.8 to 3.10 read neither `Z` nor fractions of other than 3 or 6 digits."""
    text = re.sub(r"[Zz]$", "+00:00", text)
    return re.sub(r"\.(\d+)", lambda m: "." + (m.group(1) + "000000")[:6], text)


def find_class(name):
    """`module.Class`, where both may have dots: a loaded module before one that must be imported."""
    parts = name.split(".")
    for importing in (False, True):
        for cut in range(len(parts) - 1, 0, -1):
            module = ".".join(parts[:cut])
            if importing and module not in sys.modules:
                try:
                    importlib.import_module(module)
                except ImportError:
                    continue
            found = sys.modules.get(module)
            for part in parts[cut:]:
                found = getattr(found, part, None)
            if isinstance(found, type):
                return found
    entry = sys.modules.get(Entry.name)
    found = getattr(entry, parts[-1], None)
    if isinstance(found, type):
        return found
    raise TypeError("no class %r here" % name)


def build(cls, fields):
    """Rebuilds an object as declared, without running its initialiser again."""
    import dataclasses

    if hasattr(cls, "model_construct"):
        return cls.model_construct(**fields)
    if hasattr(cls, "_fields") and issubclass(cls, tuple):
        return cls(**fields)
    if dataclasses.is_dataclass(cls):
        known = {f.name: f for f in dataclasses.fields(cls)}
        extra = sorted(set(fields) - set(known))
        if extra:
            raise TypeError("%s has no field %r" % (cls.__qualname__, extra[0]))
        made = object.__new__(cls)
        for name, field in known.items():
            if name in fields:
                object.__setattr__(made, name, fields[name])
            elif field.default is not dataclasses.MISSING:
                object.__setattr__(made, name, field.default)
            elif field.default_factory is not dataclasses.MISSING:
                object.__setattr__(made, name, field.default_factory())
            else:
                raise TypeError("%s misses its field %r" % (cls.__qualname__, name))
        return made
    return cls(**fields)


def answer(value, path):
    for step in path:
        try:
            if "field" in step:
                value = getattr(value, step["field"])
            else:
                value = value[step["index"] if "index" in step else step["key"]]
        except (LookupError, AttributeError, TypeError) as failed:
            return {"missing": "%s: %s" % (type(failed).__name__, failed)}
    out = {}
    try:
        out["len"] = len(value)
    except Exception:  # whatever the value's own `__len__` raises, it has no length for us
        pass
    try:
        out["truth"] = bool(value)
    except Exception:  # frames and arrays refuse
        pass
    scalar = scalar_of(value)
    if scalar is not None:
        out["scalar"] = scalar
    return out


def scalar_of(value):
    if value is None:
        return "none"
    if isinstance(value, bool):
        return {"bool": value}
    if type(value) is int:
        return {"int": value} if -(2**63) <= value < 2**63 else None
    if type(value) is float:
        return {"float": repr(value)}
    if type(value) is str and not surrogates(value) and len(value.encode()) <= SCALAR_BYTES:
        return {"text": value}
    return None


# ---------------------------------------------------------------- the user's code


class Entry:
    """What the template loaded."""

    name, root, file, module, current = "", "", "", None, {}


def compile_user(data, path, optimize=-1):
    tree = compile(data, path, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    body = []
    for statement in tree.body:
        guarded = isinstance(statement, (ast.Import, ast.ImportFrom))
        if guarded and getattr(statement, "module", "") != "__future__" and statement.names[0].name != "*":
            statement = placeholder(statement)
        body.append(statement)
    tree.body = body
    return compile(tree, path, "exec", flags=__future__.annotations.compiler_flag, dont_inherit=True, optimize=optimize)


class Loader(importlib.machinery.SourceFileLoader):
    """Compiles user files with annotations left as text, and missing packages as placeholders."""

    def source_to_code(self, data, path, *, _optimize=-1):
        return compile_user(data, path, _optimize)

    def exec_module(self, module):
        module.__dict__["__qflow_missing__"] = Missing
        super().exec_module(module)


def placeholder(statement):
    names = [a.asname or (a.name.partition(".")[0] if isinstance(statement, ast.Import) else a.name) for a in statement.names]
    text = "try:\n pass\nexcept ModuleNotFoundError as _qflow_error:\n"
    text += "".join(" %s = __qflow_missing__(_qflow_error)\n" % name for name in names)
    guard = ast.parse(text).body[0]
    for part in ast.walk(guard):
        if hasattr(part, "lineno"):
            ast.copy_location(part, statement)
    guard.body = [statement]
    return guard


class Missing:
    """Stands for a package that this environment lacks: using it says so."""

    def __init__(self, error):
        name = error.name or "?"
        if Entry.root and os.path.dirname(HERE) not in sys.path:
            local = os.path.join(Entry.root, *name.split("."))
            if os.path.exists(local + ".py") or os.path.isdir(local):
                raise error
        object.__setattr__(self, "_qflow_name", name)

    def _fail(self, *args, **kwargs):
        name, node = object.__getattribute__(self, "_qflow_name"), Entry.current.get("function")
        where = "requirements of node '%s'" % node if node else "the requirements"
        raise ModuleNotFoundError("%s: add it to %s" % (name, where), name=name)

    def __getattr__(self, attribute):
        if attribute.startswith("__") and attribute.endswith("__"):
            raise AttributeError(attribute)
        self._fail()

    __call__ = __getitem__ = __iter__ = __enter__ = __len__ = __mro_entries__ = _fail


def lay_out(workdir, files):
    """Writes the submission's files read-only, as they were, into a folder of their own."""
    os.makedirs(workdir, exist_ok=True)
    root = tempfile.mkdtemp(prefix="src-", dir=workdir)
    for name, text in files.items():
        path = os.path.normpath(os.path.join(root, name))
        if not path.startswith(root + os.sep):
            raise ValueError("a file outside the submission: %s" % name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as out:
            out.write(text)
        os.chmod(path, 0o444)
    return root


def prepare(order):
    """Sets environment and paths for the user's files, without importing them."""
    Entry.root = lay_out(order["workdir"], order["files"])
    Entry.file = order["file"]
    os.environ.update({k: str(v) for k, v in (order.get("env") or {}).items()})
    site = order.get("site")
    if site:
        import site as sites

        sites.addsitedir(site)
    root, folder = Entry.root, os.path.dirname(os.path.join(Entry.root, Entry.file))
    hook = importlib.machinery.FileFinder.path_hook((Loader, [".py"]))

    def ours(path):
        if not (path + os.sep).startswith(root + os.sep):
            raise ImportError("not of the submission", path=path)
        return hook(path)

    sys.path_hooks.insert(0, ours)
    paths = [folder, root, os.path.join(root, "src")]
    sys.path[:] = [p for i, p in enumerate(paths) if p not in paths[:i]] + [p for p in sys.path if p != os.path.dirname(HERE)]
    stem = os.path.basename(Entry.file)[:-3]
    Entry.name = stem if stem not in sys.modules else "qflow_user_" + stem


def import_entry():
    path = os.path.join(Entry.root, Entry.file)
    spec = importlib.util.spec_from_file_location(Entry.name, path, loader=Loader(Entry.name, path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[Entry.name] = module
    spec.loader.exec_module(module)
    Entry.module = module


def failure(error, error_type=None, text=None):
    """An exception as the record keeps it: the user's frames only, paths as submitted."""
    message_, trace = text, ""
    if message_ is None:
        try:
            message_ = str(error)
        except Exception:  # the user's own `__str__` may fail
            message_ = "<no message: its __str__ failed>"
    try:
        told = traceback.TracebackException(type(error), error, error.__traceback__)
        seen = set()
        hide(told, seen)
        trace = "".join(told.format()).replace(Entry.root + os.sep, "") if Entry.root else "".join(told.format())
    except Exception:  # a traceback is a courtesy
        pass
    sdk = sys.modules.get("qflow")
    after = None
    if sdk is not None and isinstance(error, sdk.Retry):
        after = error.after_ms
    return {
        "error_type": error_type or type(error).__name__,
        "message": clean(message_)[:MESSAGE_CHARS],
        "traceback": clean(trace)[-TRACEBACK_CHARS:],
        "mro": [c.__name__ for c in type(error).__mro__ if c is not object],
        "abort": bool(sdk is not None and isinstance(error, sdk.Abort)),
        "retry_after_ms": after,
    }


def clean(text):
    return text.encode("utf-8", "replace").decode()


def hide(told, seen):
    if told is None or id(told) in seen:
        return
    seen.add(id(told))
    sdk = os.path.join(SDK, "qflow") + os.sep
    kept = [f for f in told.stack if f.filename != HERE and not f.filename.startswith(sdk) and "importlib" not in f.filename]
    told.stack = traceback.StackSummary.from_list(kept)
    hide(told.__cause__, seen)
    hide(told.__context__, seen)
    for inner in getattr(told, "exceptions", None) or ():
        hide(inner, seen)


def plain_failure(error_type, text):
    return {"error_type": error_type, "message": text, "traceback": "", "mro": [], "abort": False, "retry_after_ms": None}


# ---------------------------------------------------------------- the attempt's process


class Stream(io.TextIOBase):
    """A Python-level stream: whole lines as frames while an attempt runs, else the descriptor."""

    encoding, errors = "utf-8", "replace"

    def __init__(self, name, fd):
        self.stream, self.fd, self.channel, self.part = name, fd, None, ""
        self.buffer = io.FileIO(fd, "w", closefd=False)

    def fileno(self):
        return self.fd

    def writable(self):
        return True

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not %s" % type(text).__name__)
        if self.channel is None:
            try:
                self.buffer.write(text.encode("utf-8", "replace"))
            except OSError:
                pass
            return len(text)
        self.part += text
        if "\n" in text or len(self.part) > LINE_BYTES:
            *lines, self.part = self.part.split("\n")
            if len(self.part) > LINE_BYTES:
                lines.append(self.part)
                self.part = ""
            self.channel.lines(self.stream, lines)
        return len(text)

    def rest(self):
        if self.channel is not None and self.part:
            part, self.part = self.part, ""
            self.channel.lines(self.stream, [part])


class Channel:
    """The child's side of its private socket; also what the SDK talks to."""

    def __init__(self, sock, order, secrets):
        self.sock, self.lock, self.owner = sock, threading.RLock(), os.getpid()
        self.sending, self.cancelled, self.kept = False, False, 0
        self.dropped = 0
        self.secrets, self.current = secrets, order["current"]
        parent = (order.get("traceparent") or "").split("-")
        self.span_id = parent[2] if len(parent) > 2 else ""

    def send(self, *frames):
        if os.getpid() != self.owner:
            return
        if sum(map(len, frames)) <= SPARE_BYTES:
            frames = (b"".join(frames),)  # each word wakes the template
        with self.lock:
            self.sending = True
            try:
                for part in frames:
                    self.sock.sendall(part)
            finally:
                self.sending = False
        if self.cancelled and threading.current_thread() is threading.main_thread():
            self.cancelled = False
            raise sys.modules["qflow"].Cancelled("cancelled")

    def lines(self, stream, lines):
        kept, now = [], int(time.time() * 1e6)
        for line in lines:
            self.kept += size_of(line)
            if self.kept > LOG_BYTES:
                self.dropped += 1
            else:
                kept.append(clean(line))
        if kept:
            self.send(message(type="lines", stream=stream, at_us=now, lines=kept))

    def log(self, text):
        self.lines("log", text.split("\n"))

    def progress(self, fraction):
        self.send(message(type="progress", fraction=float(fraction)))

    def span(self, **fields):
        self.send(message(type="span", **fields))

    def warn(self, text):
        self.send(message(type="warning", text=clean(str(text))[:MESSAGE_CHARS]))


def settle(home):
    """What a forked process does before it knows its attempt."""
    os.environ.update({"HOME": home, "TMPDIR": home})
    os.chdir(home)
    tempfile.tempdir = None
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def rehearse():
    """Goes the way of an attempt once: what is touched now is copied from the template now, not while somebody waits."""
    word = marshal.loads(marshal.dumps(({"size": 2, "function": "", "types": {}, "env": {"": ""}}, b"{}")))
    decode(word[0], word[1], "")
    Inbox().feed(message(type="rehearsal", ms=time.perf_counter() - time.time(), at=result({}, [1, "a", {"b": 1.5}])[0][:0].decode()))


def child(sock, order, data, streams, home, fresh):
    """Runs the function in the forked process, and says what came of it."""
    channel = Channel(sock, order, order.get("secrets") or {})
    sdk = sys.modules["qflow"]
    os.environ.update({k: str(v) for k, v in (order.get("env") or {}).items()})
    os.environ.update({"QFLOW_SECRET_" + k.upper().replace("-", "_"): v for k, v in channel.secrets.items()})
    Entry.current = {"function": order["function"]}
    for stream in streams:
        stream.channel = channel
    sdk._runtime.attach(channel)

    def detach():
        for stream in streams:
            stream.channel, stream.part = None, ""
        sdk._runtime.attach(None)

    os.register_at_fork(after_in_child=detach)

    def terminate(number, _frame):
        if channel.sending:
            channel.cancelled = True
        else:
            raise sdk.Cancelled("cancelled")

    signal.signal(signal.SIGTERM, terminate)
    took, frames = 0.0, []
    try:
        if fresh:
            import_entry()
        function, arguments = getattr(Entry.module, order["function"]), decode(order, data, home)
        begun = time.perf_counter()
        try:
            value = function(**arguments)
            if hasattr(value, "__await__"):
                import asyncio

                async def whole():
                    return await value

                value = asyncio.run(whole())
        finally:
            took = (time.perf_counter() - begun) * 1e3
        frames = result(order, value)
    except Unserialisable as error:
        frames = [message(type="failed", error=dict(plain_failure("serialization", str(error)), mro=["TypeError", "Exception"]))]
    except BaseException as error:  # the user's error is the node's outcome
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        frames = [message(type="failed", error=failure(error))]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    channel.cancelled = False
    for stream in streams:
        stream.rest()
    channel.send(message(type="took", ms=took, dropped=channel.dropped), *frames)


def result(order, value):
    data, items, attachments = encoding(value)
    size = len(data) + sum(len(a) for _, a in attachments)
    if size > VALUE_BYTES:
        return [message(type="failed", error=plain_failure("output_size", "%d bytes, where %d are allowed" % (size, VALUE_BYTES)))]
    answers = [answer(value, path) for path in order.get("asks") or ()]
    heads = [{"kind": k, "size": len(a)} for k, a in attachments]
    frames = [message(type="result", size=len(data), items=items, answers=answers, attachments=heads)]
    for part in [data] + [a for _, a in attachments]:
        frames.extend(blob(part))
    return frames


def decode(order, data, home):
    at, parts = order["size"], []
    for head in order.get("attachments") or ():
        parts.append(data[at : at + head["size"]])
        at += head["size"]
    decoder = Decoder(parts, home)
    form = json.loads(data[: order["size"]].decode() or "{}")
    if "$" in form:
        return decoder.value(form)
    arguments = {k: decoder.value(v) for k, v in form.items()}
    for name, declared in (order.get("types") or {}).items():
        cls = getattr(Entry.module, declared.rpartition(".")[2], None)
        if isinstance(arguments.get(name), dict) and hasattr(cls, "__dataclass_fields__"):
            arguments[name] = build(cls, arguments[name])
    return arguments


# ---------------------------------------------------------------- the template


class Counter:
    """A number of the cgroup that this process is in, v2 or v1."""

    def __init__(self, controller, v2, v1, pattern):
        self.fd, self.pattern, self.v2 = None, pattern, False
        own = {"": "", controller: ""}
        try:
            with open("/proc/self/cgroup") as lines:
                for line in lines:
                    _, names, path = line.rstrip("\n").split(":", 2)
                    for name in names.split(","):
                        own[name] = path.rstrip("/")
        except OSError:
            pass
        v2, v1 = "/sys/fs/cgroup%s/" + v2, "/sys/fs/cgroup/" + controller + "%s/" + v1
        for path, is_v2 in ((v2 % own[""], True), (v1 % own[controller], False), (v2 % "", True), (v1 % "", False)):
            try:
                self.fd, self.v2 = os.open(path, os.O_RDONLY), is_v2
                break
            except OSError:
                continue

    def read(self):
        if self.fd is None:
            return 0
        try:
            found = re.search(self.pattern, os.pread(self.fd, 4096, 0), re.M)
        except OSError:
            return 0
        return int(found.group(1)) if found else 0


def size_of(text):
    """Bytes of a line, its end included."""
    return (len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))) + 1


class Attempt:
    """What the template knows of the attempt that runs."""

    def __init__(self, order):
        self.order, self.id = order, order["attempt"]
        self.inbox, self.parts, self.open = Inbox(), {}, set()
        self.outcome, self.error, self.took, self.warnings = False, None, 0.0, []
        self.lines, self.sequence, self.bytes, self.dropped, self.child_dropped = [], 0, 0, 0, 0
        self.status, self.usage, self.cause, self.kill_at, self.term_at, self.flush_at = None, None, None, None, None, None
        self.count_at, self.progress_at, self.fraction, self.spans, self.clean = None, 0.0, None, 0, True

    def line(self, stream, text, at_us):
        self.bytes += size_of(text)
        if self.bytes > LOG_BYTES:
            self.dropped += 1
        else:
            self.keep(stream, text, at_us)

    def keep(self, stream, text, at_us):
        self.lines.append({"sequence": self.sequence, "at_us": at_us, "stream": stream, "text": text})
        self.sequence += 1

    def mark_dropped(self):
        """The last line, where some were dropped before it."""
        self.dropped, self.child_dropped = self.dropped + self.child_dropped, 0
        if self.dropped:
            text = "qflow: %d lines dropped: an attempt keeps %d MiB of what it writes" % (self.dropped, LOG_BYTES >> 20)
            self.keep("log", text, int(time.time() * 1e6))

    def warn(self, text):
        if len(self.warnings) < WARNINGS:
            self.warnings.append(text)


class Link:
    """The stream to the runner: sequence numbers, what is not acknowledged, and redialing."""

    def __init__(self, sock, seq=0, unacked=()):
        self.sock, self.seq, self.unacked = sock, seq, collections.deque(unacked)
        self.out, self.size, self.inbox = collections.deque(), 0, Inbox()
        self.lost_at, self.before_close = None, lambda: None
        if sock is not None:
            sock.setblocking(False)

    def say(self, type_, parts=(), **fields):
        self.seq += 1
        frames = [message(type=type_, seq=self.seq, **fields)]
        for part in parts:
            frames.extend(blob(part))
        data = b"".join(frames)
        self.unacked.append((self.seq, data))
        if self.lost_at is None:
            self.queue(data)

    def queue(self, data):
        self.out.append(memoryview(data))
        self.size += len(data)

    def flush(self):
        while self.out and self.sock is not None:
            try:
                sent = self.sock.send(self.out[0])
            except BlockingIOError:
                return
            except OSError:
                self.lose()
                return
            self.size -= sent
            if sent == len(self.out[0]):
                self.out.popleft()
            else:
                self.out[0] = self.out[0][sent:]

    def acknowledged(self, seq):
        while self.unacked and self.unacked[0][0] <= seq:
            self.unacked.popleft()

    def lose(self):
        if self.sock is not None:
            self.before_close()
            self.sock.close()
        self.sock, self.lost_at = None, self.lost_at or time.monotonic()
        self.out.clear()
        self.size, self.inbox = 0, Inbox()

    def redial(self, attempt):
        """True once the runner has answered; what it had not acknowledged is sent again, then the attempt that is here."""
        try:
            sock, ack = dial()
        except (OSError, Protocol):
            if time.monotonic() - self.lost_at > ORPHAN_S or not os.path.isdir(os.path.dirname(os.environ["QFLOW_SOCKET"]) or "."):
                leave(0)
            return False
        self.sock, self.lost_at = sock, None
        self.acknowledged(ack)
        for _, data in self.unacked:
            self.queue(data)
        self.say("resumed", attempt=attempt)
        sock.setblocking(False)
        self.flush()
        return True


def dial():
    """Connects, says hello, and waits for the welcome; returns the socket and the runner's last sequence."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(10)
        sock.connect(os.environ["QFLOW_SOCKET"])
        sock.sendall(message(type="hello", seq=0, token=TOKEN, python="%d.%d.%d" % sys.version_info[:3], pid=ZYGOTE))
        said = json.loads(read_frame(sock).decode())
        if said.get("type") != "welcome":
            raise Protocol("no welcome")
        return sock, int(said.get("ack") or 0)
    except BaseException:
        sock.close()
        raise


def read_frame(sock):
    """One whole J frame, exactly: what follows belongs to the link."""
    head = read_exactly(sock, 5)
    length, kind = struct.unpack(">Ic", head)
    if kind != b"J" or not 1 <= length <= FRAME_BYTES + 1:
        raise Protocol("not a message")
    return read_exactly(sock, length - 1)


def read_exactly(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise Protocol("closed")
        data += part
    return data


def leave(code):
    """Ends template and zygote, with whatever they started."""
    reap_all(0.5)
    os._exit(code)


def descendants(bound=1 << 20):
    """Processes below this one, orphans included: they come to it, as it is the subreaper. Stops past a bound."""
    found, left = [], [os.getpid()]
    while left and len(found) <= bound:
        pid = left.pop()
        try:
            threads = os.listdir("/proc/%d/task" % pid)
        except OSError:  # it has gone meanwhile
            continue
        for thread in threads:
            try:
                with open("/proc/%d/task/%s/children" % (pid, thread)) as listed:
                    below = [int(child) for child in listed.read().split()]
            except OSError:
                below = []
            found += below
            left += below
    return found


def send_all(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            pass


def reap_all(within=REAP_S):
    """Kills and reaps whatever is below this process; False where something is left."""
    until = time.monotonic() + within
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        if time.monotonic() > until:
            return False
        seen, now = set(), descendants()
        while not seen.issuperset(now) and time.monotonic() < until:  # what is stopped forks no more
            send_all(set(now) - seen, signal.SIGSTOP)
            seen.update(now)
            now = descendants()
        send_all(now, signal.SIGKILL)
        time.sleep(0.001)


def wipe(folder, keep=()):
    """Removes what is in a folder, whatever its mode; nothing where it may not."""
    try:
        entries = [entry.path for entry in os.scandir(folder) if entry.path not in keep]
    except OSError:
        return
    for path in entries:
        try:
            os.unlink(path)
            continue
        except OSError:
            pass
        for parent, folders, _ in os.walk(path):
            for name in [parent] + [os.path.join(parent, f) for f in folders]:
                if not os.path.islink(name):
                    try:
                        os.chmod(name, 0o700)
                    except OSError:
                        pass
        shutil.rmtree(path, ignore_errors=True)


class Fork:
    """A process forked from the template, as the template sees it: the ends of its lines, and its folder."""

    count = 0

    def __init__(self, workdir):
        Fork.count += 1
        self.home = os.path.join(workdir, "run-%d-%d" % (os.getpid(), Fork.count))
        os.mkdir(self.home, 0o700)
        (self.near, self.far), self.out, self.err = socket.socketpair(), os.pipe(), os.pipe()
        self.pid = 0

    def hand(self, word):
        """Tells a waiting process its attempt; False where it is dead."""
        try:
            self.near.sendall(struct.pack(">I", len(word)) + word)
            return True
        except OSError:
            return False

    def close_far(self):
        self.far.close()
        os.close(self.out[1])
        os.close(self.err[1])

    def discard(self):
        """Ends a process that no attempt has come to."""
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except OSError:
            pass
        self.near.close()
        os.close(self.out[0])
        os.close(self.err[0])
        shutil.rmtree(self.home, ignore_errors=True)


def freeze():
    """Before a fork: less to copy, and pages that the child's collector leaves alone."""
    gc.collect()
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    gc.freeze()


class Template:
    """Imports the user's file once; every attempt is a fork of this process."""

    def __init__(self, link, order, handover, fresh):
        self.link, self.order, self.handover, self.fresh = link, order, handover, fresh
        self.attempt, self.spare, self.frozen, self.settle_at = None, None, False, None
        self.oom = Counter("memory", "memory.events", "memory.oom_control", rb"^oom_kill (\d+)")
        self.throttled = Counter("cpu", "cpu.stat", "cpu.stat", rb"^throttled_(?:usec|time) (\d+)")
        self.redial_at = 0.0
        self.waiting = collections.deque()

    def load(self):
        os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.streams = sys.stdout, sys.stderr = Stream("stdout", 1), Stream("stderr", 2)
        begun = time.perf_counter()
        failed = None
        try:
            prepare(self.order)
            if not self.fresh:
                import_entry()
        except BaseException as error:  # whatever the user's module raises is the node's error
            failed = failure(error)
        if failed is not None:
            self.link.say("load_failed", file=self.order["file"], error=failed)
        elif not self.fresh:
            threads = threading.active_count() > 1
            self.link.say("loaded", file=self.order["file"], ms=(time.perf_counter() - begun) * 1e3, threads=threads)
            self.link.flush()
            if threads:
                self.hand_over(self.order, True)
        self.failed = failed
        # Last, since the user's module may have set handlers of its own.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.woken.fileno(), warn_on_full_buffer=False)
        self.settle_at = time.monotonic() + FIRST_S

    def hand_over(self, order, fresh):
        """Gives the link back to the zygote, which forks another template for `order`."""
        if self.spare is not None:
            self.spare.discard()
        self.link.flush()
        unacked = [[seq, base64.b64encode(data).decode()] for seq, data in self.link.unacked]
        pending = base64.b64encode(bytes(self.link.inbox.buffer)).decode()
        state = json.dumps({"order": order, "fresh": fresh, "seq": self.link.seq, "unacked": unacked, "buffer": pending}).encode()
        sock = self.link.sock
        if sock is not None:
            fds = array.array("i", [sock.fileno()])
            self.handover.sendmsg([struct.pack(">I", len(state))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        else:
            self.handover.sendmsg([struct.pack(">I", len(state))])
        self.handover.sendall(state)
        os._exit(0)

    # -- the loop

    def run(self):
        self.select = selectors.DefaultSelector()
        wake, woken = socket.socketpair()
        for end in (wake, woken):
            end.setblocking(False)
        self.wake, self.woken = wake, woken
        self.select.register(wake, selectors.EVENT_READ, self.on_wake)
        self.registered, self.link.before_close = None, self.unwatch_link
        if self.order is not None:
            self.load()
        else:  # forked ahead of need
            compile_user(b"import os\n\ndef f(a: int) -> int:\n    return a\n", "rehearsal.py")
            rehearse()
        while True:
            self.link.flush()
            self.watch_link()
            heard = self.select.select(self.patience())
            for key, mask in heard:
                key.data(mask)
            self.on_time(bool(heard))

    def watch_link(self):
        want = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.link.out else 0)
        now = (self.link.sock, want) if self.link.sock is not None else None
        if now == self.registered:
            return
        self.unwatch_link()
        self.registered = now
        if now is not None:
            self.select.register(now[0], want, self.on_runner)

    def unwatch_link(self):
        """Before its socket is closed: a process forked meanwhile may hold it, and then it would stay ready for ever."""
        if self.registered is not None:
            self.select.unregister(self.registered[0])
        self.registered = None

    def patience(self):
        due = []
        if self.link.sock is None:
            due.append(self.redial_at)
        elif self.attempt is None and self.settle_at is not None:
            due.append(self.settle_at)
        if self.attempt is not None:
            attempt = self.attempt
            due += [t for t in (attempt.kill_at, attempt.term_at, attempt.flush_at, attempt.count_at) if t is not None]
            due += [attempt.progress_at] if attempt.fraction is not None else []
        return max(0.0, min(due) - time.monotonic()) if due else None

    def on_time(self, heard):
        now, attempt = time.monotonic(), self.attempt
        if self.link.sock is None and now >= self.redial_at:
            self.watch_link()
            self.link.redial(attempt and attempt.id)
            self.redial_at = now + REDIAL_S
        if attempt is None:
            if self.waiting and self.link.sock is not None:
                self.order_(*self.waiting.popleft())
            elif self.settle_at is not None and now >= self.settle_at and not heard:
                self.settle()
            return
        if attempt.term_at is not None and now >= attempt.term_at:
            attempt.term_at = None
            self.stop("timeout", GRACE_S)
        if attempt.kill_at is not None and now >= attempt.kill_at:
            attempt.kill_at = None
            self.signal(signal.SIGKILL)
        if attempt.flush_at is not None and now >= attempt.flush_at:
            self.flush_lines()
        if attempt.count_at is not None and now >= attempt.count_at:
            attempt.count_at = now + COUNT_S
            if len(descendants(attempt.order["pids"])) > attempt.order["pids"]:
                attempt.count_at = None
                self.stop("pids", 0)
        self.tell_progress()

    # -- the runner's words

    def on_runner(self, mask):
        if mask & selectors.EVENT_WRITE:
            self.link.flush()
        if not mask & selectors.EVENT_READ or self.link.sock is None:
            return
        try:
            data = self.link.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.link.lose()
            return
        try:
            for said, rest in self.link.inbox.feed(data):
                self.order_(said, rest)
        except Protocol:
            leave(70)

    def order_(self, said, data):
        kind = said["type"]
        if kind == "ack":
            self.link.acknowledged(said["seq"])
        elif kind == "kill":
            if self.attempt is not None and self.attempt.id == said["attempt"]:
                self.stop("cancelled", said.get("grace_ms", 5000) / 1e3)
        elif kind == "exit":
            if self.attempt is not None:
                self.signal(signal.SIGKILL)
            leave(0)
        elif self.attempt is not None:
            self.waiting.append((said, data))
        elif kind == "load" and self.order is None:
            self.order = said
            self.load()
        elif kind == "load":
            if said["files"] == self.order["files"] and said["file"] == self.order["file"] and self.failed is None:
                self.link.say("loaded", file=said["file"], ms=0.0, threads=self.fresh)
            else:
                self.hand_over(said, False)
        elif kind == "attempt":
            self.begin(said, data)

    def begin(self, order, data):
        attempt = self.attempt = Attempt(order)
        self.oom_before, self.throttled_before = self.oom.read(), self.throttled.read()
        try:
            fork = self.fork_for(order, data)
        except OSError as failed:
            self.refuse(attempt, "no process could be started for it: %s" % failed)
            return
        order.pop("secrets", None)  # the attempt's alone
        attempt.pid, self.near, self.home = fork.pid, fork.near, fork.home
        self.near.setblocking(False)
        for fd, name in ((fork.out[0], "stdout"), (fork.err[0], "stderr")):
            os.set_blocking(fd, False)
            attempt.parts[fd] = (name, bytearray())
            self.open_(fd, lambda _, fd=fd: self.on_pipe(fd))
        self.open_(self.near, self.on_child)
        if order.get("deadline_ms") is not None:
            attempt.term_at = time.monotonic() + order["deadline_ms"] / 1e3
        if order.get("pids") is not None:
            attempt.count_at = time.monotonic() + COUNT_S
        self.link.say("started", attempt=attempt.id)

    def refuse(self, attempt, text):
        """An attempt that has no process ends like one whose process did."""
        self.attempt, attempt.status, attempt.error = None, 0, plain_failure("exit", text)
        attempt.usage = resource.struct_rusage((0,) * 16)
        reap_all()
        self.tell_end(attempt)

    def fork_for(self, order, data):
        """The process that was forked ahead, or a new one where there is none or too much to hand over."""
        spare, self.spare = self.spare, None
        if spare is not None:
            # One that has died is not handed anything, also where its signal is still to be read.
            alive = not os.waitpid(spare.pid, os.WNOHANG)[0]
            if alive and len(data) <= SPARE_BYTES:
                word = marshal.dumps((order, data))
                if len(word) <= 2 * SPARE_BYTES and spare.hand(word):
                    return spare
            spare.discard()
        return self.fork((order, data))

    def settle(self):
        """Readies this process for the next attempt, and forks ahead of it: while nobody asks for one.

        No attempt is at work, so nothing of the user's sees the forked process wait.
        """
        self.settle_at = None
        if not self.frozen:
            self.frozen = True
            freeze()
        if self.failed is None and self.spare is None:
            try:
                self.spare = self.fork(None)
            except OSError:  # no room for it: the attempt itself will say so
                pass

    def fork(self, work):
        fork = Fork(self.order["workdir"])
        fork.pid = os.fork()
        if fork.pid == 0:
            self.become_child(fork, work)
        fork.close_far()
        return fork

    def become_child(self, fork, work):
        global TOKEN
        code, TOKEN = 1, ""
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.setsid()
            os.dup2(fork.out[1], 1)
            os.dup2(fork.err[1], 2)
            for fd in fork.out + fork.err:
                os.close(fd)
            for sock in (fork.near, self.wake, self.woken, self.link.sock, self.handover):
                if sock is not None:
                    sock.close()
            self.select.close()
            for counter in (self.oom, self.throttled):
                if counter.fd is not None:
                    os.close(counter.fd)
            libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
            try:
                with open("/proc/self/oom_score_adj", "w") as score:
                    score.write("900")
            except OSError:
                pass
            settle(fork.home)
            if work is None:
                rehearse()
            order, data = work or self.await_work(fork.far)
            child(fork.far, order, data, self.streams, fork.home, self.fresh)
            code = 0
        except BaseException:  # nothing may run past here in the child
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(code)

    @staticmethod
    def await_work(far):
        try:
            return marshal.loads(read_exactly(far, struct.unpack(">I", read_exactly(far, 4))[0]))
        except (Protocol, OSError):  # the template has gone
            os._exit(0)

    def open_(self, thing, handler):
        attempt = self.attempt

        def handle(mask):
            if self.attempt is attempt and thing in attempt.open:  # else an earlier event of this round ended it
                handler(mask)

        attempt.open.add(thing)
        self.select.register(thing, selectors.EVENT_READ, handle)

    def close_(self, thing):
        if self.attempt is not None and thing in self.attempt.open:
            self.attempt.open.discard(thing)
            self.select.unregister(thing)
            os.close(thing) if isinstance(thing, int) else thing.close()

    # -- the child's words

    def on_pipe(self, fd):
        """Reads once; False when nothing is there now."""
        if self.link.size > OUT_BYTES and self.attempt.status is None:
            time.sleep(0.001)
            return False
        try:
            data = os.read(fd, 1 << 16)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        name, part = self.attempt.parts[fd]
        now = int(time.time() * 1e6)
        if not data:
            if part:
                self.attempt.line(name, part.decode("utf-8", "replace"), now)
            self.close_(fd)
            self.soon()
            return False
        if self.attempt.bytes > LOG_BYTES:  # a flood: only its lines are counted
            self.attempt.dropped += data.count(b"\n")
            self.attempt.parts[fd] = (name, bytearray() if data.endswith(b"\n") else bytearray(data[-1:]))
            return True
        part += data
        *lines, rest = part.split(b"\n")
        if len(rest) > LINE_BYTES:
            lines.append(rest)
            rest = bytearray()
        self.attempt.parts[fd] = (name, rest)
        for line in lines:
            self.attempt.line(name, line.decode("utf-8", "replace"), now)
        self.soon()
        return True

    def soon(self):
        if self.attempt.lines and self.attempt.flush_at is None:
            self.attempt.flush_at = time.monotonic() + LOG_FLUSH_S

    def flush_lines(self):
        self.attempt.flush_at = None
        lines, self.attempt.lines = self.attempt.lines, []
        for start in range(0, len(lines), 500):
            chunk = lines[start : start + 500]
            if sum(len(line["text"]) for line in chunk) * 6 < FRAME_BYTES // 2:
                self.link.say("logs", attempt=self.attempt.id, lines=chunk)
                continue
            for line in chunk:
                self.link.say("logs", attempt=self.attempt.id, lines=[line])

    def on_child(self, _mask=None):
        if self.link.size > OUT_BYTES and self.attempt.status is None:
            time.sleep(0.001)
            return False
        try:
            data = self.near.recv(1 << 18)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close_(self.near)
            return False
        try:
            for said, rest in self.attempt.inbox.feed(data):
                self.child_said(said, rest)
        except (Protocol, KeyError, TypeError, ValueError) as error:
            self.attempt.cause = self.attempt.cause or "protocol"
            self.attempt.fault = "on the attempt's channel: %s" % error
            self.close_(self.near)
            self.signal(signal.SIGKILL)
            return False
        return True

    def child_said(self, said, rest):
        attempt, kind = self.attempt, said["type"]
        if kind == "lines":
            for text in said["lines"]:
                attempt.line(str(said["stream"]), str(text), int(said["at_us"]))
            self.soon()
        elif kind == "progress":
            attempt.fraction = float(said["fraction"])
            self.tell_progress()
        elif kind == "span":
            attempt.spans += 1
            if attempt.spans > SPANS:
                return
            names = ("name", "span_id", "parent_id", "start_us", "end_us", "attributes", "error")
            self.link.say("span", attempt=attempt.id, **{n: said[n] for n in names})
        elif kind == "warning":
            attempt.warn(str(said["text"])[:MESSAGE_CHARS])
        elif kind == "took":
            attempt.took, attempt.child_dropped = float(said["ms"]), int(said["dropped"])
        elif kind == "failed":
            attempt.error = {k: said["error"][k] for k in plain_failure("", "")}
        elif kind == "result":
            self.take_result(said, rest)
        else:
            raise Protocol("a message of type %r" % kind)

    def tell_progress(self):
        """Passes the latest word on, and not more often than somebody looks."""
        attempt, now = self.attempt, time.monotonic()
        if attempt.fraction is not None and now >= attempt.progress_at:
            self.link.say("progress", attempt=attempt.id, fraction=attempt.fraction)
            attempt.fraction, attempt.progress_at = None, now + PROGRESS_S

    def take_result(self, said, rest):
        """Passes a value on at once: the runner looks at it while the child still leaves."""
        if self.attempt.outcome:
            raise Protocol("a second result")
        self.attempt.outcome = True
        heads, items = said.get("attachments") or [], said.get("items")
        self.link.say("result", [rest], attempt=self.attempt.id, size=said["size"], items=items, answers=said["answers"], attachments=heads)

    # -- its end

    def signal(self, number):
        try:
            os.kill(self.attempt.pid, number)
            if number == signal.SIGKILL:
                os.killpg(self.attempt.pid, number)
        except OSError:
            pass

    def stop(self, cause, grace_s):
        if self.attempt.cause is None and self.attempt.status is None:
            self.attempt.cause, self.attempt.kill_at = cause, time.monotonic() + grace_s
            self.signal(signal.SIGTERM)

    def on_wake(self, _mask):
        try:
            self.wake.recv(4096)
        except BlockingIOError:
            pass
        attempt = self.attempt
        if attempt is None and self.spare is not None and os.waitpid(self.spare.pid, os.WNOHANG)[0]:
            spare, self.spare = self.spare, None
            spare.discard()
        if attempt is None or attempt.status is not None:
            return
        pid, status, usage = os.wait4(attempt.pid, os.WNOHANG)
        if pid:
            attempt.status, attempt.usage = status, usage
            self.finish()

    def finish(self):
        """The child is dead: kills the rest, takes what is left in the pipes, and says how it ended."""
        attempt = self.attempt
        try:
            os.killpg(attempt.pid, signal.SIGKILL)
        except OSError:
            pass
        attempt.clean = reap_all()
        while self.near in attempt.open and self.on_child():
            pass
        for fd in list(attempt.parts):
            while fd in attempt.open and self.on_pipe(fd):
                pass
        for fd, (name, part) in attempt.parts.items():
            if fd in attempt.open and part:
                attempt.line(name, part.decode("utf-8", "replace"), int(time.time() * 1e6))
        for thing in list(attempt.open):
            self.close_(thing)
        attempt.mark_dropped()
        self.flush_lines()
        self.tell_end(attempt)
        self.attempt = None
        self.link.flush()
        if attempt.clean:  # else the container goes
            wipe(self.order["workdir"], (Entry.root,))
            for folder in WIPED:
                wipe(folder, (self.order["workdir"],))
            self.settle_at = time.monotonic()

    def tell_end(self, attempt):
        exited = os.WIFEXITED(attempt.status)
        code = os.WEXITSTATUS(attempt.status) if exited else None
        number = None if exited else os.WTERMSIG(attempt.status)
        oom = self.oom.read() != self.oom_before
        error = self.error_of(attempt, code, number, oom)
        if error is None and oom:
            attempt.warn("a child process was killed for lack of memory")
        usage = attempt.usage
        self.link.say(
            "ended",
            attempt=attempt.id,
            ok=error is None,
            error=error,
            exit_code=code,
            signal=number,
            oom=oom,
            peak_memory_bytes=usage.ru_maxrss * 1024,
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            throttled_seconds=(self.throttled.read() - self.throttled_before) / (1e6 if self.throttled.v2 else 1e9),
            user_code_ms=attempt.took,
            log_lines=attempt.sequence,
            log_lines_dropped=attempt.dropped,
            warnings=attempt.warnings,
            clean=attempt.clean,
        )

    @staticmethod
    def error_of(attempt, code, number, oom):
        if attempt.cause == "protocol":
            return plain_failure("protocol", attempt.fault)
        if attempt.cause == "pids":
            return plain_failure("pids", "started more than %d processes" % attempt.order["pids"])
        if attempt.cause == "timeout":
            limit = attempt.order["deadline_ms"] / 1e3
            return dict(attempt.error or plain_failure("", ""), error_type="timeout", message="exceeded its time-out of %g s" % limit)
        if attempt.cause == "cancelled":
            return dict(attempt.error or plain_failure("", ""), error_type="cancelled", message="cancelled")
        if attempt.outcome:
            return None
        if attempt.error is not None:
            return attempt.error
        if oom and number == signal.SIGKILL:
            return plain_failure("oom", "killed for lack of memory")
        how = "exited with code %s" % code if number is None else "was killed by %s" % signal.Signals(number).name
        return plain_failure("exit", "the process %s before it returned" % how)


# ---------------------------------------------------------------- the zygote


def zygote():
    global TOKEN, ZYGOTE
    TOKEN, ZYGOTE = os.environ.pop("QFLOW_TOKEN", ""), os.getpid()
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.dont_write_bytecode = True
    sys.path.append(SDK)
    importlib.import_module("qflow")
    sys.path.remove(SDK)
    freeze()
    sock, _ = dial()
    sock.settimeout(None)
    state = {"order": None, "fresh": False, "seq": 0, "unacked": [], "buffer": ""}
    while True:
        state = fork_template(sock, state)
        sock = state.pop("sock")


def fork_template(sock, state):
    """Runs a template until it hands its link back for another load, or ends, and the zygote with it."""
    near, far = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        near.close()
        link = Link(sock, state["seq"], [(seq, base64.b64decode(data)) for seq, data in state["unacked"]])
        if sock is None:
            link.lose()
        template = Template(link, state["order"], far, state["fresh"])
        try:
            link.inbox.feed(base64.b64decode(state["buffer"]))
            template.run()
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        os._exit(70)
    far.close()
    if sock is not None:
        sock.close()  # the template's alone now; it comes back with the template's state
    signal.signal(signal.SIGTERM, lambda *_: (os.kill(pid, signal.SIGKILL), os._exit(143)))
    state = receive_state(near)
    near.close()
    _, status = os.waitpid(pid, 0)
    if state is None:
        os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else KILLED)
    return state


def receive_state(near):
    head, ancillary, _, _ = near.recvmsg(4, socket.CMSG_SPACE(4))
    if len(head) < 4:
        return None
    data = read_exactly(near, struct.unpack(">I", head)[0])
    state, sock = json.loads(data.decode()), None
    for level, kind, body in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds = array.array("i")
            fds.frombytes(body[:4])
            sock = socket.socket(fileno=fds[0])
    state["sock"] = sock
    return state


TOKEN, ZYGOTE = "", 0

if __name__ == "__main__":
    zygote()
