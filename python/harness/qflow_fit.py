"""Values from outside made what their declared types say: mappings to objects, names to members."""

import base64
import collections

from qflow_decoder import iso
from qflow_shapes import ANY, MAPPINGS, SEQUENCES, TUPLES, elements, fields_of


class Unfit(Exception):
    """A value from outside that does not fit its declared type, with its path."""


def fit(value, shape, path):
    """A value from outside, plain JSON in what only Python knows, as its declared type: mappings to objects, names to members."""
    kind = shape[0]
    if kind in ("any", "literal", "pickle") or value is None:
        return value
    if kind == "union":
        return _fit_union(value, shape[1], path)
    if kind in TUPLES:
        shapes = elements(shape, len(value)) if isinstance(value, (list, tuple)) else None
        return value if shapes is None else tuple(fit(v, s, "%s[%d]" % (path, i)) for i, (v, s) in enumerate(zip(value, shapes)))
    cls, shapes = shape[1], shape[2]
    if cls in SEQUENCES:
        return _fit_sequence(value, cls, shapes[0] if shapes else ANY, path)
    if cls in MAPPINGS:
        if len(shapes) != 2 or not isinstance(value, dict):
            return value
        return {fit(k, shapes[0], "%s key %r" % (path, k)): fit(v, shapes[1], "%s[%r]" % (path, k)) for k, v in value.items()}
    if isinstance(value, dict):
        return _fit_object(value, cls, shapes, path)
    return value if isinstance(value, cls) else _fit_scalar(value, cls, path)


def _fit_sequence(value, cls, item, path):
    if not isinstance(value, (list, tuple, set, frozenset)):
        return value
    items = [fit(v, item, "%s[%d]" % (path, i)) for i, v in enumerate(value)] if item != ANY else value
    return cls(items) if cls in (list, set, frozenset, collections.deque) else type(value)(items)


def _fit_union(value, members, path):
    exact = [m for m in members if m[0] == "class" and type(value) is m[1]]
    if exact:
        return fit(value, exact[0], path)
    first = None
    for member in members:
        try:
            fitted = fit(value, member, path)
        except Exception as error:  # another member may take it
            first = first or error
            continue
        if fitted is not value or member[0] != "class" or isinstance(value, member[1]):
            return fitted
    if first is not None:
        raise first
    return value


def _fit_object(value, cls, shapes, path):
    fields = fields_of(cls, shapes)
    if fields is None:
        return value
    if hasattr(cls, "model_validate"):
        return _made(lambda given: cls.model_validate(given), value, cls, path)
    if hasattr(cls, "parse_obj"):
        return _made(lambda given: cls.parse_obj(given), value, cls, path)
    fitted = {k: fit(v, fields.get(k, ANY), "%s.%s" % (path, k)) for k, v in value.items()}
    if hasattr(cls, "__total__"):  # a TypedDict is a dict
        return fitted
    return _made(lambda given: cls(**given), fitted, cls, path)


def _made(make, given, cls, path):
    try:
        return make(given)
    except Exception as error:  # whatever its initialiser or its validators raise
        raise Unfit("%s: no %s can be made of it: %s" % (path, cls.__qualname__, error))


def _fit_scalar(value, cls, path):
    import datetime
    import decimal
    import enum
    import pathlib
    import uuid

    if issubclass(cls, enum.Enum):
        if isinstance(value, str) and value in cls.__members__:
            return cls.__members__[value]
        try:
            return cls(value)
        except ValueError:
            names = ", ".join(cls.__members__)
            raise Unfit("%s: %r is no member of %s, which has %s" % (path, value, cls.__qualname__, names))
    if cls is float and type(value) is int:
        return float(value)
    if not isinstance(value, str):
        return value
    readers = {
        datetime.datetime: lambda text: datetime.datetime.fromisoformat(iso(text)), datetime.date: datetime.date.fromisoformat,
        datetime.time: lambda text: datetime.time.fromisoformat(iso(text)), decimal.Decimal: decimal.Decimal, uuid.UUID: uuid.UUID,
        pathlib.Path: pathlib.Path, bytes: base64.b64decode,
    }  # fmt: skip
    if cls not in readers:
        return value
    try:
        return readers[cls](value)
    except (ValueError, ArithmeticError):
        raise Unfit("%s: %r is not a %s" % (path, value, cls.__name__))
