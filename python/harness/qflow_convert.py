"""Arguments converted to their declared types, where the edge says so: by the table of docs/TYPES.md, which `crates/types` holds at submit.

What fits stays as it is. `strict` is what `convert=True` asks for: what does not convert is an error. Without it only that is converted
which never fails, and what stands under `Any` is left alone.
"""

import collections
import collections.abc
import json
import re

from qflow_classes import data_fields
from qflow_fit import Unfit
from qflow_scalars import classes, scalar
from qflow_shapes import ANY, MAPPINGS, SEQUENCES, TUPLES, elements, fields_of, shape_of

SHOWN_CHARS = 60  # of a value in an error
SETS = (set, frozenset, collections.abc.Set)


class Unconverted(Exception):
    """A value that does not convert, where in the argument, and what is wrong with it."""

    def __init__(self, path, text):
        super().__init__(text)
        self.path, self.text = path, text


def argument(name, value, shape, declared, strict):
    """An argument as its type has it; `declared` is that type's text."""
    if shape == ANY:
        shape = shape_of(declared, classes())  # what the annotation names is not there at run time
    try:
        if shape == ANY and strict:
            raise Unconverted("", "its type %s is not known here: import it where it is declared" % declared)
        return convert(value, shape, "", strict)
    except Unconverted as wrong:
        raise Unfit("argument `%s`%s: %s" % (name, wrong.path and " at " + wrong.path, wrong.text))


def convert(value, shape, path, strict):
    """A value as its shape has it, at a path of the argument."""
    kind = shape[0]
    if kind in ("any", "pickle") or (kind == "literal" and fits(value, shape)):
        return value
    if kind == "union":
        return _union(value, shape, path, strict)
    if kind in TUPLES:
        return _tuple(value, shape, path, strict)
    if kind == "literal":
        return _left(value, shape, path, strict)
    cls, shapes = shape[1], shape[2]
    if cls in SETS:
        return _set(value, shape, path, strict)
    if cls in SEQUENCES:
        return _sequence(value, shape, path, strict)
    if cls in MAPPINGS:
        return _mapping(value, shape, path, strict)
    if fits(value, shape):
        return value
    made = scalar(value, cls, strict)
    if made is not None:
        return made
    if strict and cls.__name__ == "DataFrame" and isinstance(value, (list, tuple, dict)):
        return _frame(value, cls, path)
    if strict and isinstance(value, dict):
        return _object(value, shape, shapes, path)
    if strict and isinstance(value, (str, int)) and hasattr(cls, "__members__"):
        return _member(value, cls, path)
    return _left(value, shape, path, strict)


def _left(value, shape, path, strict, got=None):
    if strict:
        raise Unconverted(path, "expected %s, got %s" % (spelled(shape), got or shown(value)))
    return value


def shown(value):
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"


def spelled(shape):
    """A shape as a type is written."""
    kind = shape[0]
    if kind == "union":
        members = sorted(map(spelled, shape[1]), key=lambda text: (text == "None", text))
        return " | ".join(members)
    if kind == "tuple":
        return "tuple[%s]" % (", ".join(map(spelled, shape[1])) or "()")
    if kind == "tuples":
        return "tuple[%s, ...]" % spelled(shape[1])
    if kind == "spread":
        return "tuple[%s]" % ", ".join([*map(spelled, shape[1]), "*tuple[%s, ...]" % spelled(shape[2]), *map(spelled, shape[3])])
    if kind == "literal":
        return "Literal[%s]" % ", ".join(json.dumps(v, ensure_ascii=False) if isinstance(v, str) else str(v) for v in shape[1])
    if kind != "class":
        return {"any": "Any", "pickle": "Pickle"}[kind]
    name = "None" if shape[1] is type(None) else shape[1].__name__
    return name + ("[%s]" % ", ".join(map(spelled, shape[2])) if shape[2] else "")


def key_text(key):
    return "[%s]" % (json.dumps(key, ensure_ascii=False) if isinstance(key, str) else shown(key))


# ---------------------------------------------------------------- what is as it should be


def fits(value, shape):
    """Whether a value is of a type as it is."""
    kind = shape[0]
    if kind in ("any", "pickle"):
        return True
    if kind == "union":
        return any(fits(value, member) for member in shape[1])
    if kind == "literal":
        return any(type(value) is type(one) and value == one for one in shape[1])
    if kind in TUPLES:
        shapes = elements(shape, len(value)) if isinstance(value, tuple) else None
        return shapes is not None and all(map(fits, value, shapes))
    cls, shapes = shape[1], shape[2]
    if hasattr(cls, "__total__"):
        fields, required = _typed_dict(cls, shapes)
        return _is_open(value) and required <= set(value) and all(fits(v, fields.get(k, ANY)) for k, v in value.items())
    try:
        if not isinstance(value, (float, int) if cls is float else (complex, float, int) if cls is complex else _arrives_as(cls)):
            return False
    except TypeError:  # a Protocol is not asked
        return False
    if cls in MAPPINGS and len(shapes) == 2:
        return all(fits(k, shapes[0]) and fits(v, shapes[1]) for k, v in value.items())
    if cls in SEQUENCES and shapes and shapes[0] != ANY:
        return all(fits(v, shapes[0]) for v in value)
    return True


def _arrives_as(cls):
    """What is derived from a dict travels as one."""
    return dict if cls in MAPPINGS and issubclass(cls, dict) else cls


def _is_open(value):
    """Whether a value may be of a TypedDict, which may hold more keys than it declares."""
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def _typed_dict(cls, shapes):
    """The fields of a TypedDict, and which of them must be there."""
    required = set(getattr(cls, "__required_keys__", cls.__annotations__ if cls.__total__ else ()))
    for name, annotation in cls.__annotations__.items():
        # A text tells `typing` nothing of these two.
        text = getattr(annotation, "__forward_arg__", annotation)
        found = re.match(r"(?:\w+\.)*(Not)?Required\[", text) if isinstance(text, str) else None
        if found:
            (required.discard if found.group(1) else required.add)(name)
    return fields_of(cls, shapes) or {}, required


# ---------------------------------------------------------------- containers


def _union(value, shape, path, strict):
    """What fits a member stays, else exactly one of them is to be made of it."""
    if fits(value, shape):
        return value
    made, wrong = [], []
    for member in shape[1]:
        try:
            one = convert(value, member, path, True)
        except Unconverted as error:
            wrong.append(error)
            continue
        if not any(type(one) is type(other) and one == other for _, other in made):
            made.append((member, one))
    if len(made) == 1:
        return made[0][1]
    if not strict:
        return value
    deeper = [error for error in wrong if error.path != path]
    if not made and len(deeper) == 1:  # the one member that it is meant for
        raise deeper[0]
    may = " or ".join(sorted(spelled(member) for member, _ in made))
    return _left(value, shape, path, strict, made and "%s, which may be %s" % (shown(value), may))


def _same(items, others):
    return all(a is b for a, b in zip(items, others))


def _tuple(value, shape, path, strict):
    fixed = shape[0] != "tuples"
    if not isinstance(value, (tuple, list)) or (fixed and not strict and isinstance(value, list)):
        return _left(value, shape, path, strict)
    shapes = elements(shape, len(value))
    if shapes is None:
        return _left(value, shape, path, strict, "a %s of %d" % (type(value).__name__, len(value)))
    items = tuple(convert(v, s, "%s[%d]" % (path, i), strict) for i, (v, s) in enumerate(zip(value, shapes)))
    return value if isinstance(value, tuple) and _same(value, items) else items


def _sequence(value, shape, path, strict):
    cls, item = shape[1], shape[2][0] if shape[2] else ANY
    if not isinstance(value, (list, tuple)):  # a text, a set or a mapping may be what an abstract class means
        return value if fits(value, shape) else _left(value, shape, path, strict)
    items = [convert(v, item, "%s[%d]" % (path, i), strict) for i, v in enumerate(value)]
    if isinstance(value, cls) and _same(value, items):
        return value
    return tuple(items) if isinstance(value, tuple) and isinstance(value, cls) else items


def _set(value, shape, path, strict):
    item = shape[2][0] if shape[2] else ANY
    if fits(value, shape):
        return value
    if not isinstance(value, (set, frozenset)) and not (strict and isinstance(value, (list, tuple))):
        return _left(value, shape, path, strict)
    indexed = isinstance(value, (list, tuple))
    items = [convert(v, item, path + ("[%d]" % i if indexed else "{…}"), strict) for i, v in enumerate(value)]
    make = frozenset if shape[1] is frozenset or (shape[1] is not set and isinstance(value, frozenset)) else set
    made = set()
    for one in items:
        try:
            twice = one in made
        except TypeError:
            return _left(value, shape, path, strict, "%s, which a set cannot hold" % shown(one))
        if twice:
            return _left(value, shape, path, strict, "%s twice" % shown(one))
        made.add(one)
    return make(made)


def _mapping(value, shape, path, strict):
    if not isinstance(value, dict):
        return _left(value, shape, path, strict)
    key, item = shape[2] if len(shape[2]) == 2 else (ANY, ANY)
    if shape[1] is collections.Counter:
        key, item = (shape[2] or (ANY,))[0], ("class", int, ())
    made = {}
    for k, v in value.items():
        to = convert(k, key, (path and path + " ") + "key %s" % shown(k), strict)
        try:
            twice = to in made
        except TypeError:
            return _left(value, shape, path, strict, "the key %s, which a mapping cannot hold" % shown(to))
        if twice:
            return _left(value, shape, path, strict, "the key %s twice" % shown(to))
        made[to] = convert(v, item, path + key_text(k), strict)
    unchanged = isinstance(value, _arrives_as(shape[1])) and _same(value, made) and _same(value.values(), made.values())
    return value if unchanged else made


# ---------------------------------------------------------------- what Python alone knows


def _object(value, shape, shapes, path):
    """An object of a class with fields, of a mapping with just these; a TypedDict keeps what else it is given."""
    cls = shape[1]
    if hasattr(cls, "model_validate") or hasattr(cls, "parse_obj"):
        return _model(value, cls, path)
    is_open = hasattr(cls, "__total__")
    if is_open and not _is_open(value):
        return _left(value, shape, path, True)
    if is_open:
        fields, required = _typed_dict(cls, shapes)
    elif data_fields(cls) is None:
        return _left(value, shape, path, True)
    else:
        fields, required = fields_of(cls, shapes) or {}, set()
    for name in sorted(required - set(value)):
        raise Unconverted(path, "expected %s, which has %s: it is missing" % (spelled(shape), key_text(name)))
    given = {}
    for name, inner in value.items():
        if name not in fields and not is_open:
            raise Unconverted(path + key_text(name), "%s has no field of this name" % spelled(shape))
        given[name] = convert(inner, fields.get(name, ANY), path + key_text(name), True)
    if is_open:
        return given
    try:
        return cls(**given)
    except Exception as error:  # whatever its initialiser raises
        raise Unconverted(path, "no %s can be made of it: %s" % (spelled(shape), error))


def _model(value, cls, path):
    try:
        return cls.model_validate(value) if hasattr(cls, "model_validate") else cls.parse_obj(value)
    except Exception as error:  # its own, or what its validators raise
        if not callable(getattr(error, "errors", None)):
            raise Unconverted(path, "no %s can be made of it: %s" % (cls.__qualname__, error))
        first = error.errors()[0]
        raise Unconverted(path + "".join(map(key_text, first["loc"])), "no %s can be made of it: %s" % (cls.__qualname__, first["msg"]))


def _member(value, cls, path):
    if isinstance(value, str) and value in cls.__members__:
        return cls.__members__[value]
    # `True` is equal to `1`, and no member's value for that.
    if not isinstance(value, bool) or any(member.value is value for member in cls):
        try:
            return cls(value)
        except ValueError:
            pass
    raise Unconverted(path, "expected %s, got %s; it has %s" % (cls.__qualname__, shown(value), ", ".join(cls.__members__)))


def _frame(value, cls, path):
    """A frame of rows, or of columns."""
    columns = dict(value) if isinstance(value, dict) else _columns(value, path)
    for name, column in columns.items():
        if not isinstance(column, (list, tuple)):
            raise Unconverted(path + key_text(name), "expected a list, got %s" % shown(column))
    try:
        frame = cls(columns)
    except Exception as error:  # whatever the library raises: of unequal lengths, of values that do not go together
        raise Unconverted(path, "no %s can be made of it: %s" % (cls.__name__, error))
    for name, column in columns.items():
        # Beside a float or None an integer becomes a float.
        if getattr(getattr(frame[name], "dtype", None), "kind", "") == "f":
            for i, v in enumerate(column):
                if isinstance(v, int) and int(float(v)) != v:
                    at = key_text(name) + "[%d]" % i if isinstance(value, dict) else "[%d]" % i + key_text(name)
                    raise Unconverted(path + at, "%d is too large for a column of floats" % v)
    return frame


def _columns(rows, path):
    columns = {}
    for i, row in enumerate(rows):
        at = "%s[%d]" % (path, i)
        if not isinstance(row, dict):
            raise Unconverted(at, "expected a mapping, a frame's row, got %s" % shown(row))
        if i == 0:
            columns = {name: [] for name in row}
        if set(row) != set(columns):
            raise Unconverted(at, "expected the columns %s, got %s" % (", ".join(map(str, columns)), ", ".join(map(str, row))))
        for name, column in columns.items():
            column.append(row[name])
    return columns
