"""A value to bytes: the tagged form of docs/VALUES.md, its offset table and its attachments."""

import base64
import collections
import io
import json
import sys

import qflow_content
import qflow_exact
from qflow_arrow import arrow_bytes, arrow_of_pandas
from qflow_classes import data_fields, enum_name, is_derived, named
from qflow_exact import Inexact
from qflow_missing import Missing

INLINE_BYTES = 32 << 10  # past it a list gets an offset table
BYTES_INLINE = 4 << 10  # past it bytes are an attachment
DEPTH = 100  # of a value's JSON: every reader of JSON has a bound, the runner's is 127 with what is around the value


PLAIN = frozenset((dict, list, tuple, set, frozenset, bytes))


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


def named_items(value):
    for key, inner in value.items():
        yield qflow_exact.key_text(key), key, inner


class Encoder:
    """A Python value to the tagged form of docs/VALUES.md, with its attachments."""

    def __init__(self, identity=None, pickled=()):
        self.pickled = pickled
        self.attachments, self.inside, self.depth = [], set(), 0
        self.loose, self.paths, self.identity = False, [], identity or {}

    def attach(self, kind, source, path, pieces=qflow_content.of_bytes, **told):
        self.attachments.append((kind, source, pieces, path))
        return dict({"$": "attachment", "k": kind, "i": len(self.attachments) - 1}, **told)

    def form(self, value, path="result"):
        kind = type(value)
        if self.pickled and path in self.pickled:
            return self.pickle(value, path)
        if value is None or kind is bool:
            return value
        if kind is str:
            return self.text(value)
        if kind is int:
            return value if -(2**53) <= value <= 2**53 else self.exact({"$": "int"}, qflow_exact.digits, value, path)
        if kind is float:
            return value if value - value == 0 else {"$": "float", "v": repr(value)}
        if id(value) in self.inside:
            raise Unserialisable("%s: a %s that contains itself" % (path, kind.__name__))
        levels = 1 if kind is list or kind is dict else 2  # of JSON: a tag is one more
        self.inside.add(id(value))
        self.depth += levels
        try:
            if self.depth > DEPTH:
                said = "%s: nested too deeply: a value has at most %d levels; a list or dict is one, a tuple, set or object two"
                raise Unserialisable(said % (path if len(path) < 200 else path[:200] + "…", DEPTH))
            return self.container(value, kind, path)
        except Inexact as why:
            raise Unserialisable("%s: %s" % (path, why))
        finally:
            self.depth -= levels
            self.inside.discard(id(value))

    @staticmethod
    def exact(form, make, value, path):
        try:
            return dict(form, v=make(value))
        except Inexact as why:
            raise Unserialisable("%s: %s" % (path, why))

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
        if kind not in PLAIN:
            self.refuse_attributes(value, kind, path)
        if isinstance(value, dict):
            return self.mapping(value, path)
        if isinstance(value, tuple):
            if hasattr(value, "_fields"):
                return self.fields(value, value._fields, path)
            return {"$": "tuple", "v": self.items(value, path)}
        if isinstance(value, list):
            return self.items(value, path)
        if isinstance(value, (set, frozenset)):
            forms = sorted((self.form(v, path + "{…}") for v in value), key=dumps)
            return {"$": "set" if isinstance(value, set) else "frozenset", "v": forms}
        if isinstance(value, (bytearray, memoryview)):
            raise Inexact("a %s would come back as bytes: give bytes(…)" % kind.__name__)
        if isinstance(value, collections.deque):
            raise Inexact("a deque would come back as a list: give list(…)")
        if isinstance(value, bytes):
            data = bytes(value)
            if len(data) <= BYTES_INLINE:
                return {"$": "bytes", "v": base64.b64encode(data).decode()}
            return self.attach("bytes", data, path)
        for base, cast in ((str, str.__str__), (int, int.__int__), (float, float.__float__)):
            if isinstance(value, base):
                return self.form(cast(value), path)
        return self.other(value, kind, path)

    @staticmethod
    def refuse_attributes(value, kind, path):
        """What a subclass of a plain class adds to its objects has no place in their form."""
        if kind is Missing:
            value._fail()
        if isinstance(value, (dict, list, set, frozenset, bytes, str, int, float)) or (isinstance(value, tuple) and not hasattr(value, "_fields")):
            name = qflow_exact.lost(value, ())
            if name is not None:
                raise Unserialisable("%s.%s: an attribute of a %s, which travels without it: return it beside" % (path, name, named(kind)))

    def mapping(self, value, path):
        if all(isinstance(k, str) and not (not k.isascii() and surrogates(k)) for k in value):
            return {("$" + k if k[:1] == "$" else str(k)): self.form(v, "%s[%r]" % (path, k)) for k, v in value.items()}
        self.depth += 1
        pairs = [[self.form(k, "%s key %s" % (path, key)), self.form(v, "%s[%s]" % (path, key))] for key, k, v in named_items(value)]
        self.depth -= 1
        return {"$": "map", "v": pairs}

    def fields(self, value, names, path):
        self.loose = self.loose or is_derived(type(value))
        name = qflow_exact.lost(value, names)
        if name is not None:
            said = "%s.%s: an attribute that is no field of %s, or a private one, and would be lost: make it a field"
            raise Unserialisable(said % (path, name, named(type(value))))
        inner = {n: self.form(getattr(value, n), "%s.%s" % (path, n)) for n in names}
        return {"$": "object", "t": named(type(value)), "v": inner}

    def other(self, value, kind, path):
        import dataclasses
        import datetime
        import decimal
        import pathlib
        import uuid

        if kind is qflow_content.sdk().Outcome:
            parts = {name: self.form(getattr(value, name), "%s.%s" % (path, name)) for name in ("ok", "value", "error")}
            return {"$": "outcome", "v": parts}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self.fields(value, [f.name for f in dataclasses.fields(value)], path)
        if isinstance(value, datetime.datetime):
            return qflow_exact.instant(value)
        if isinstance(value, datetime.date):
            return {"$": "date", "v": value.isoformat()}
        if isinstance(value, datetime.time):
            return dict({"$": "time", "v": value.isoformat()}, **qflow_exact.zone(value))
        if isinstance(value, datetime.timedelta):
            return qflow_exact.duration(value)
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
        return self.scientific(value, kind, path)

    def file(self, value, path):
        import pathlib

        marker = getattr(value, "__qflow_kind__", None)
        if surrogates(str(value)):
            raise Inexact("the path %r is not UTF-8" % str(value))
        if isinstance(value, pathlib.PureWindowsPath):
            raise Inexact("a %s would come back as a path of another system: give str(…)" % type(value).__name__)
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
        except Inexact:
            raise
        except Exception as failed:  # of pyarrow's own classes, and of what the cells' classes raise
            raise Unserialisable("%s: %s: %s" % (path, named(kind), failed))
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(value, numpy.ndarray):
            if kind not in (numpy.ndarray, numpy.memmap):
                raise Inexact("a %s would come back as a plain array: give what it is made of" % named(kind))
            out = io.BytesIO()
            try:
                numpy.save(out, value, allow_pickle=False)
            except ValueError as failed:
                raise Unserialisable("%s: %s: %s" % (path, named(kind), failed))
            return self.attach("npy", out.getbuffer(), path)
        if numpy is not None and isinstance(value, numpy.generic):
            return self.form(qflow_exact.number(value, numpy), path)
        said = "%s: a value of type %s has no form" % (path, named(kind))
        if kind.__module__[:1] != "_" and kind.__module__ != "builtins":  # what the interpreter holds cannot be pickled
            said += ": return what it is made of, or declare it as Pickle[%s]" % kind.__name__
        raise Unserialisable(said)


def encoding(value, shape=None, identity=None, warn=None, pickled=()):
    """The encoding with its offset table, the number of items where it has one, and the attachments.

    `shape` gives the declared type where that matters; `identity` is what a pickle is bound to, `pickled` the paths of what goes so.
    """
    encoder = Encoder(identity, pickled)
    try:
        form = encoder.form(value)
        if encoder.loose and shape is not None:
            from qflow_declared import declare

            form = declare(form, shape())
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
