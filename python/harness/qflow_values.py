"""The form of a value, as docs/VALUES.md has it: Python values to bytes, and back."""

import base64
import collections
import importlib
import io
import json
import os
import re
import sys

import qflow_content
from qflow_entry import Entry, is_submitted

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


def data_fields(cls):
    """The names of a class's fields, where it has any: a dataclass, a NamedTuple, a pydantic model."""
    found = cls.__dict__.get("__dataclass_fields__") if isinstance(cls, type) else None
    if found is not None or hasattr(cls, "__dataclass_fields__"):
        import dataclasses

        return [field.name for field in dataclasses.fields(cls)]
    if isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return list(cls._fields)
    if hasattr(cls, "model_validate") or hasattr(cls, "parse_obj"):
        names = getattr(cls, "model_fields", None) if hasattr(cls, "model_validate") else getattr(cls, "__fields__", None)
        return list(names) if isinstance(names, dict) else None
    return None


_derived = {}


def is_derived(cls):
    """Whether a class goes for another one that has fields of its own, so that the declared one matters."""
    if cls not in _derived:
        bases = cls.__mro__[1:]
        _derived[cls] = issubclass(cls, tuple) or any(data_fields(base) for base in bases if base is not object)
    return _derived[cls]


def enum_name(value):
    """A member's name; of several flags together all of their names, where they have any."""
    cls, name = type(value), value.name
    if name in cls.__members__:
        return name
    names, left = [], value.value
    for member in cls.__members__.values():
        bit = member.value
        if isinstance(bit, int) and bit > 0 and bit & (bit - 1) == 0 and left & bit:
            names.append(member.name)
            left &= ~bit
    return "|".join(names) if names and not left else str(value.value)


def enum_member(cls, name):
    if name in cls.__members__:
        return cls.__members__[name]
    if re.match(r"-?\d+$", name):
        return cls(int(name))
    bits = 0
    for part in name.split("|"):
        bits |= cls.__members__[part].value
    return cls(bits)


class Encoder:
    """A Python value to the tagged form of docs/VALUES.md, with its attachments."""

    def __init__(self, identity=None):
        self.attachments, self.inside = [], set()
        self.loose, self.paths, self.identity = False, [], identity or {}

    def attach(self, kind, source, path, pieces=qflow_content.of_bytes, **told):
        self.attachments.append((kind, source, pieces, path))
        return dict({"$": "attachment", "k": kind, "i": len(self.attachments) - 1}, **told)

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
            self.loose = self.loose or isinstance(value, (int, str, float))
            return {"$": "enum", "t": named(kind), "v": enum_name(value)}
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
            return self.attach("bytes", data, path)
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
        self.loose = self.loose or is_derived(type(value))
        inner = {n: self.form(getattr(value, n), "%s.%s" % (path, n)) for n in names}
        return {"$": "object", "t": named(type(value)), "v": inner}

    def other(self, value, kind, path):
        import dataclasses
        import datetime
        import decimal
        import pathlib
        import uuid

        if kind is qflow_content.sdk().Outcome:
            error = None if value.error is None else dataclasses.asdict(value.error)
            return {"$": "outcome", "v": {"ok": value.ok, "value": self.form(value.value, path + ".value"), "error": error}}
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
        names = data_fields(kind)
        if names is not None:
            return self.fields(value, names + list(getattr(value, "model_extra", None) or ()), path)
        if kind.__name__ == "Pickled" and kind.__module__ == "qflow_shapes":
            return self.pickle(value.value, path)
        return self.scientific(value, kind, path)

    def file(self, value, path):
        marker = getattr(value, "__qflow_kind__", None)
        if marker is None:
            self.paths.append(path)
            return {"$": "path", "v": str(value)}
        pieces = qflow_content.of_folder if marker == "folder" else qflow_content.of_file
        return self.attach(marker, str(value), path, pieces, n=qflow_content.name_of(value))

    def pickle(self, value, path):
        import pickle

        try:
            data = pickle.dumps(value, protocol=4)
        except Exception as failed:  # whatever its own `__reduce__` raises
            raise Unserialisable("%s: a %s cannot be pickled: %s" % (path, named(type(value)), failed))
        return self.attach("pickle", data, path, **self.identity)

    def scientific(self, value, kind, path):
        root = (kind.__module__ or "").partition(".")[0]
        try:
            if root == "pandas" and kind.__name__ in ("DataFrame", "Series"):
                return self.attach("arrow", arrow_of_pandas(value), path)
            if root == "polars" and kind.__name__ == "DataFrame":
                return self.attach("arrow", arrow_bytes(value.to_arrow(), b"polars"), path)
            if root == "pyarrow" and kind.__name__ == "Table":
                return self.attach("arrow", arrow_bytes(value, b"pyarrow"), path)
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
            return self.attach("npy", out.getbuffer(), path)
        if numpy is not None and isinstance(value, numpy.generic) and type(value.item()) is not kind:
            return self.form(value.item(), path)
        said = "%s: a value of type %s has no form" % (path, named(kind))
        if kind.__module__[:1] != "_" and kind.__module__ != "builtins":  # what the interpreter holds cannot be pickled
            said += ": return what it is made of, or declare it as Pickle[%s]" % kind.__name__
        raise Unserialisable(said)


def arrow_bytes(table, kind):
    import pyarrow

    table = table.replace_schema_metadata(dict(table.schema.metadata or {}, qflow=kind))
    out = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


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

    source = pyarrow.memory_map(data) if isinstance(data, str) else data
    table = pyarrow.ipc.open_stream(source).read_all()
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


def encoding(value, shape=None, identity=None, warn=None):
    """The encoding with its offset table, the number of items where it has one, and the attachments.

    `shape` gives the declared type where that matters; `identity` is what a pickle is bound to.
    """
    encoder = Encoder(identity)
    try:
        form = encoder.form(value)
        if encoder.loose and shape is not None:
            import qflow_shapes

            form = qflow_shapes.declare(form, shape())
        if encoder.paths and warn is not None:
            warn("%s: a Path is a name: what it names does not travel to other nodes; return qflow.File(path)" % encoder.paths[0])
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
    except qflow_content.Refused as refused:
        raise Unserialisable(str(refused))
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
        return enum_member(find_class(form["t"]), form["v"])

    def _object(self, form):
        return build(find_class(form["t"]), {k: self.value(v) for k, v in form["v"].items()})

    def _outcome(self, form):
        sdk, told = qflow_content.sdk(), form["v"]
        error = told.get("error")
        return sdk.Outcome(told["ok"], self.value(told.get("value")), None if error is None else sdk.OutcomeError(**error))

    def _attachment(self, form):
        kind, data = form["k"], self.attachments[form["i"]]
        if kind == "file" and not isinstance(data, str):
            data = self.laid_out(form, data)
        if kind in ("file", "folder"):
            sdk = qflow_content.sdk()
            return sdk.Folder(data) if kind == "folder" else sdk.File(data)
        if kind == "bytes":
            return qflow_content.read_whole(data)
        if kind == "npy":
            import numpy

            return numpy.load(data if isinstance(data, str) else io.BytesIO(data), allow_pickle=False)
        if kind == "pickle":
            import pickle

            return pickle.loads(qflow_content.read_whole(data))
        return pandas_of_arrow(data)

    def laid_out(self, form, data):
        path = os.path.join(self.home, "file-%d" % form["i"])
        with open(path, "wb") as out:
            out.write(data)
        os.chmod(path, 0o444)
        return path


def iso(text):
    """3.8 to 3.10 read neither `Z` nor fractions of other than 3 or 6 digits."""
    text = re.sub(r"[Zz]$", "+00:00", text)
    return re.sub(r"\.(\d+)", lambda m: "." + (m.group(1) + "000000")[:6], text)


_found = {}


def find_class(name):
    """`module.Class`, where both may have dots: of a loaded module, else of one that must be imported, else of the submission's own."""
    found = _found.get(name)
    if found is None:
        found = _found[name] = search_class(name)
    return found


def search_class(name):
    parts = name.split(".")
    for importing in (False, True):
        for cut in range(len(parts) - 1, 0, -1):
            # A file has several names, by the folder that it is imported from: the longest that is there.
            for start in range(cut):
                if start and importing and not is_submitted(parts[start:cut]):
                    continue
                found = class_in(".".join(parts[start:cut]), parts[cut:], importing)
                if found is not None:
                    return found
    # A class of that name in whatever file of the submission.
    for module in [sys.modules.get(Entry.name)] + list(sys.modules.values()):
        file = getattr(module, "__file__", None) or ""
        if module is not None and (module is Entry.module or (Entry.root and file.startswith(Entry.root + os.sep))):
            found = getattr(module, parts[-1], None)
            if isinstance(found, type):
                return found
    raise TypeError("no class %r here" % name)


def class_in(module, path, importing):
    if importing and module not in sys.modules:
        try:
            importlib.import_module(module)
        except ImportError:
            return None
    found = sys.modules.get(module)
    for part in path:
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None


def build(cls, fields):
    """Rebuilds an object as declared, without running its initialiser again."""
    if hasattr(cls, "model_construct"):
        return build_model(cls, fields)
    if hasattr(cls, "_fields") and issubclass(cls, tuple):
        extra = sorted(set(fields) - set(cls._fields))
        if extra:
            raise TypeError("%s has no field %r" % (cls.__qualname__, extra[0]))
        return cls(**fields)
    if hasattr(cls, "__dataclass_fields__"):
        return build_dataclass(cls, fields)
    if hasattr(cls, "parse_obj") and hasattr(cls, "construct"):
        made = cls.construct(**{})
        made.__dict__.clear()
        made.__dict__.update(fields)
        object.__setattr__(made, "__fields_set__", set(fields))
        return made
    return cls(**fields)


def build_model(cls, fields):
    """A pydantic model with these fields, whatever their aliases; what it checked when it was made is not checked again."""
    known = cls.model_fields
    extra = {name: value for name, value in fields.items() if name not in known}
    if extra and cls.model_config.get("extra") != "allow":
        raise TypeError("%s has no field %r" % (cls.__qualname__, sorted(extra)[0]))
    missing = [name for name, field in known.items() if name not in fields and field.is_required()]
    if missing:
        raise TypeError("%s misses its field %r" % (cls.__qualname__, missing[0]))
    made = cls.model_construct(_fields_set={name for name in fields if name in known})
    # In the order of its fields, which its JSON has too.
    values = {name: fields[name] if name in fields else made.__dict__[name] for name in known}
    made.__dict__.clear()
    made.__dict__.update(values)
    if extra:
        object.__setattr__(made, "__pydantic_extra__", extra)
    return made


def build_dataclass(cls, fields):
    import dataclasses

    known = {f.name: f for f in dataclasses.fields(cls)}
    extra = sorted(set(fields) - set(known))
    if extra:
        raise TypeError("%s has no field %r" % (cls.__qualname__, extra[0]))
    made = cls.__new__(cls)
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
    enum = sys.modules.get("enum")
    if enum is not None and isinstance(value, enum.Enum):
        member = "%s.%s" % (type(value).__name__, enum_name(value))
        return {"member": member} if len(member.encode()) <= SCALAR_BYTES else None
    return None
