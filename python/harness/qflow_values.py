"""The form of a value, as docs/VALUES.md has it: Python values to bytes, and back."""

import base64
import collections
import importlib
import io
import json
import os
import re
import sys

from qflow_entry import Entry

INLINE_BYTES = 32 << 10  # past it a list gets an offset table
BYTES_INLINE = 4 << 10  # past it bytes are an attachment
SCALAR_BYTES = 256  # a text that an answer may carry


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
