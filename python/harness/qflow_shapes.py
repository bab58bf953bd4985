"""Declared types at run time: read from annotations as they stand in the source, and values held to them.

A shape is a tuple: `("any",)`, `("class", cls, shapes)`, `("tuple", shapes)`, `("tuples", shape)`, `("union", shapes)`,
`("literal", values)`, `("pickle",)`. Annotations are texts here (the `annotations` future), so that `int | None` reads on every Python.
"""

import ast
import base64
import builtins
import collections.abc
import sys
import typing

from qflow_values import Unserialisable, data_fields, find_class, named

ANY = ("any",)
NONE = ("class", type(None), ())
DEPTH = 100  # of types in types: a class may hold itself
SEQUENCES = (list, set, frozenset, collections.deque, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection,
             collections.abc.Set, collections.abc.MutableSequence)  # fmt: skip
MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping, collections.OrderedDict, collections.defaultdict)


class Unfit(Exception):
    """A value from outside that does not fit its declared type, with its path."""


def shape_of(annotation, namespace, variables=None, depth=0):
    """The shape of an annotation: a text, or what `typing` made of one. What cannot be read is anything."""
    if depth > DEPTH:
        return ANY
    try:
        return _shape(annotation, namespace, variables or {}, depth + 1)
    except (SyntaxError, AttributeError, NameError, TypeError, KeyError, ValueError, RecursionError):
        return ANY


def _shape(annotation, namespace, variables, depth):
    if isinstance(annotation, str):
        return _of_tree(ast.parse(annotation.strip(), mode="eval").body, namespace, variables, depth)
    if isinstance(annotation, typing.ForwardRef):
        return _shape(annotation.__forward_arg__, namespace, variables, depth)
    if annotation is None or annotation is type(None):
        return NONE
    if annotation is typing.Any or annotation is object:
        return ANY
    if isinstance(annotation, typing.TypeVar):
        return variables.get(annotation, ANY)
    base = getattr(annotation, "__supertype__", None)  # NewType
    if base is not None:
        return shape_of(base, vars(sys.modules.get(annotation.__module__, builtins)), {}, depth)
    if type(annotation).__name__ == "TypeAliasType":
        return shape_of(annotation.__value__, vars(sys.modules.get(annotation.__module__, builtins)), variables, depth)
    if hasattr(annotation, "__metadata__"):  # Annotated
        return _shape(annotation.__origin__, namespace, variables, depth)
    origin, arguments = getattr(annotation, "__origin__", None), getattr(annotation, "__args__", ())
    if type(annotation).__name__ == "UnionType":  # int | None, evaluated
        return union([shape_of(a, namespace, variables, depth) for a in arguments])
    if origin is None:
        if isinstance(annotation, type):
            return ("tuples", ANY) if annotation is tuple else ("class", annotation, ())
        return ANY
    if getattr(annotation, "_name", None) and all(isinstance(a, typing.TypeVar) for a in arguments):
        arguments = ()  # `List` by itself
    if str(origin) == "typing.Literal" or getattr(origin, "_name", None) == "Literal":
        return ("literal", tuple(arguments))
    return _generic(origin, [shape_of(a, namespace, variables, depth) if a is not ... else ... for a in arguments])


def _of_tree(tree, namespace, variables, depth):
    if isinstance(tree, ast.Constant):
        return _shape(tree.value, namespace, variables, depth) if tree.value is not ... else ...
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.BitOr):
        return union([_sub(tree.left, namespace, variables, depth), _sub(tree.right, namespace, variables, depth)])
    if not isinstance(tree, ast.Subscript):
        return _shape(_look_up(tree, namespace), namespace, variables, depth)
    base = _look_up(tree.value, namespace)
    inner = getattr(tree.slice, "value", tree.slice) if type(tree.slice).__name__ == "Index" else tree.slice
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    name = getattr(base, "_name", None) or getattr(base, "__name__", None) or str(base).rpartition(".")[2]
    if name == "Literal":
        return ("literal", tuple(_literal(part, namespace) for part in parts))
    if name in ("Annotated", "Required", "NotRequired", "ReadOnly", "Final", "ClassVar", "InitVar"):
        return _sub(parts[0], namespace, variables, depth)
    shapes = [_sub(part, namespace, variables, depth) for part in parts]
    if name == "Optional":
        return union(shapes + [NONE])
    if name == "Union":
        return union(shapes)
    return _generic(getattr(base, "__origin__", None) or base, shapes)


def _sub(tree, namespace, variables, depth):
    if depth > DEPTH:
        return ANY
    try:
        return _of_tree(tree, namespace, variables, depth + 1)
    except (SyntaxError, AttributeError, NameError, TypeError, KeyError, ValueError):
        return ANY


def _literal(tree, namespace):
    try:
        return ast.literal_eval(tree)
    except ValueError:  # a member of an enum
        return _look_up(tree, namespace)


def _look_up(tree, namespace):
    if isinstance(tree, ast.Name):
        if tree.id in namespace:
            return namespace[tree.id]
        if hasattr(builtins, tree.id):
            return getattr(builtins, tree.id)
        return find_class(tree.id)
    if isinstance(tree, ast.Attribute):
        return getattr(_look_up(tree.value, namespace), tree.attr)
    raise NameError("not a name")


def _generic(origin, shapes):
    if origin is typing.Union:
        return union(shapes)
    if origin is tuple:
        if len(shapes) == 2 and shapes[1] is ...:
            return ("tuples", shapes[0])
        return ("tuple", tuple(shapes))
    if origin is sys.modules["qflow"].Pickle:
        return ("pickle",)
    return ("class", origin, tuple(shapes)) if isinstance(origin, type) else ANY


def union(members):
    flat = []
    for member in members:
        flat += member[1] if member[0] == "union" else [member]
    if ANY in flat:
        return ANY
    return flat[0] if len(flat) == 1 else ("union", tuple(flat))


def of_function(function):
    """The namespace that a function's annotations are read in, and they themselves."""
    inner = getattr(function, "__wrapped__", function)
    return getattr(inner, "__globals__", {}), dict(getattr(inner, "__annotations__", {}))


_fields = {}


def fields_of(cls, shapes=()):
    """The declared fields of a class by name, its own type variables replaced; None where it has none."""
    found = _fields.get((cls, shapes))
    if found is None and (cls, shapes) not in _fields:
        found = _fields[cls, shapes] = _read_fields(cls, shapes)
    return found


def _read_fields(cls, shapes):
    if data_fields(cls) is None and not hasattr(cls, "__total__"):
        return None
    variables = dict(zip(getattr(cls, "__parameters__", ()), shapes))
    read = {}
    for base in reversed(cls.__mro__):
        namespace = dict(vars(sys.modules.get(base.__module__, builtins)))
        namespace.update({getattr(v, "__name__", ""): v for v in variables})
        namespace.setdefault(base.__name__, base)
        own = base.__dict__.get("__annotations__") or (getattr(base, "__annotations__", None) if base is cls else None) or {}
        for name, annotation in own.items():
            read[name] = shape_of(annotation, namespace, variables)
    return read


# ---------------------------------------------------------------- on the way out


def declare(form, shape, path="result"):
    """A form as its declared type has it: what is a subclass goes as the class that is declared, where nothing is lost by that."""
    kind = shape[0]
    if kind == "any" or form is None or isinstance(form, (bool, int, float)):
        return form
    if kind == "union":
        return declare(form, _member(form, shape[1]), path)
    if isinstance(form, list):
        item = shape[2][0] if kind == "class" and len(shape[2]) == 1 else ANY
        return [declare(f, item, "%s[%d]" % (path, i)) for i, f in enumerate(form)] if item != ANY else form
    if not isinstance(form, dict):
        return form
    tag = form.get("$")
    if tag == "object":
        return _declare_object(form, shape, path)
    if tag == "enum" and kind == "class" and shape[1] in (int, str, float):
        member = _enum_member(form)
        return shape[1](member.value) if isinstance(member, shape[1]) else form
    if tag in ("set", "frozenset", "tuple"):
        if kind == "tuple" and len(shape[1]) == len(form["v"]):
            items = shape[1]
        else:
            item = shape[1] if kind == "tuples" else shape[2][0] if kind == "class" and len(shape[2]) == 1 else ANY
            items = [item] * len(form["v"])
        return dict(form, v=[declare(f, s, "%s[%d]" % (path, i)) for i, (f, s) in enumerate(zip(form["v"], items))])
    if kind != "class" or tag not in (None, "map"):
        return form
    if tag == "map":
        key, value = shape[2] if len(shape[2]) == 2 else (ANY, ANY)
        return dict(form, v=[[declare(k, key, path + " key"), declare(v, value, "%s[…]" % path)] for k, v in form["v"]])
    declared = fields_of(shape[1], shape[2]) or {}  # a TypedDict's
    value = shape[2][1] if len(shape[2]) == 2 else ANY
    return {k: declare(v, declared.get(k, value), "%s[%r]" % (path, k)) for k, v in form.items()}


def _declare_object(form, shape, path):
    actual = find_class(form["t"])
    if shape[0] in ("tuple", "tuples") and issubclass(actual, tuple):
        return declare({"$": "tuple", "v": list(form["v"].values())}, shape, path)
    if shape[0] != "class" or not issubclass(actual, shape[1]):
        return form  # the runner tells what is wrong
    declared, shapes = shape[1], shape[2]
    if actual is not declared and data_fields(declared) is not None:
        more = [name for name in data_fields(actual) if name not in data_fields(declared)]
        if more:
            said = "%s: a %s has the field '%s', which the declared %s has not; declare %s, or return a %s"
            raise Unserialisable(said % (path, actual.__qualname__, more[0], declared.__qualname__, actual.__qualname__, declared.__qualname__))
        form = dict(form, t=named(declared))
    elif actual is not declared:
        declared, shapes = actual, ()
    fields = fields_of(declared, shapes) or {}
    return dict(form, v={k: declare(v, fields.get(k, ANY), "%s.%s" % (path, k)) for k, v in form["v"].items()})


def _member(form, members):
    """The member of a union that a form is of, as far as that matters here."""
    tag = form.get("$") if isinstance(form, dict) else None
    if tag == "object":
        actual = find_class(form["t"])
        classes = [m for m in members if m[0] == "class"]
        exact = [m for m in classes if m[1] is actual]
        return (exact or [m for m in classes if issubclass(actual, m[1])] or [m for m in members if m[0] in ("tuple", "tuples")] or [ANY])[0]
    if tag == "enum":
        cls = find_class(form["t"])
        return ([m for m in members if m[0] == "class" and m[1] is cls] or [m for m in members if m[0] == "class" and issubclass(cls, m[1])] or [ANY])[0]
    wanted = {"tuple": (tuple,), "set": (set,), "frozenset": (frozenset,), "map": MAPPINGS}.get(tag, MAPPINGS if isinstance(form, dict) else SEQUENCES)
    for member in members:
        if member[0] in ("tuple", "tuples") and tag == "tuple":
            return member
        if member[0] == "class" and (member[1] in wanted or (isinstance(form, dict) and tag is None and hasattr(member[1], "__total__"))):
            return member
    return ANY


def _enum_member(form):
    import qflow_values

    return qflow_values.enum_member(find_class(form["t"]), form["v"])


class Pickled:
    """A value that is declared to travel by pickle."""

    def __init__(self, value):
        self.value = value


def wrap(value, shape):
    """A value with what is declared `Pickle[…]` marked: by itself, or in a list, a tuple, a dict or a union."""
    kind = shape[0]
    if kind == "pickle":
        return Pickled(value)
    if kind == "union":
        by_pickle = value is not None and ("pickle",) in shape[1] and not any(m[0] == "class" and type(value) is m[1] for m in shape[1])
        return Pickled(value) if by_pickle else value
    if kind == "tuple" and isinstance(value, tuple) and len(value) == len(shape[1]):
        return tuple(wrap(v, s) for v, s in zip(value, shape[1]))
    if kind == "tuples" and isinstance(value, tuple):
        return tuple(wrap(v, shape[1]) for v in value)
    if kind == "class" and len(shape[2]) == 1 and isinstance(value, list):
        return [wrap(v, shape[2][0]) for v in value]
    if kind == "class" and len(shape[2]) == 2 and isinstance(value, dict):
        return {k: wrap(v, shape[2][1]) for k, v in value.items()}
    return value


# ---------------------------------------------------------------- on the way in


def fit(value, shape, path):
    """A value from outside, plain JSON in what only Python knows, as its declared type: mappings to objects, names to members."""
    kind = shape[0]
    if kind in ("any", "literal", "pickle") or value is None:
        return value
    if kind == "union":
        return _fit_union(value, shape[1], path)
    if kind == "tuple":
        if isinstance(value, (list, tuple)) and len(value) == len(shape[1]):
            return tuple(fit(v, s, "%s[%d]" % (path, i)) for i, (v, s) in enumerate(zip(value, shape[1])))
        return value
    if kind == "tuples":
        return tuple(fit(v, shape[1], "%s[%d]" % (path, i)) for i, v in enumerate(value)) if isinstance(value, (list, tuple)) else value
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
    import qflow_values

    readers = {
        datetime.datetime: lambda text: datetime.datetime.fromisoformat(qflow_values.iso(text)), datetime.date: datetime.date.fromisoformat,
        datetime.time: lambda text: datetime.time.fromisoformat(qflow_values.iso(text)), decimal.Decimal: decimal.Decimal, uuid.UUID: uuid.UUID,
        pathlib.Path: pathlib.Path, bytes: base64.b64decode,
    }  # fmt: skip
    if cls not in readers:
        return value
    try:
        return readers[cls](value)
    except (ValueError, ArithmeticError):
        raise Unfit("%s: %r is not a %s" % (path, value, cls.__name__))
