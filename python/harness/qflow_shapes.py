"""Declared types at run time: read from annotations as they stand in the source.

A shape is a tuple: `("any",)`, `("class", cls, shapes)`, `("tuple", shapes)`, `("tuples", shape)`, `("spread", before, shape, after)` of
`tuple[int, *tuple[str, ...]]`, `("union", shapes)`, `("literal", values)`, `("pickle",)`. Annotations are texts here (the `annotations` future), so that `int | None` reads on every Python.
"""

import ast
import builtins
import collections
import collections.abc
import sys
import typing

from qflow_classes import data_fields, find_class

ANY = ("any",)
NONE = ("class", type(None), ())
TUPLES = ("tuple", "tuples", "spread")
DEPTH = 100  # of types in types: a class may hold itself
SEQUENCES = (list, set, frozenset, collections.deque, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection,
             collections.abc.Set, collections.abc.MutableSequence)  # fmt: skip
MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping, collections.OrderedDict, collections.defaultdict,
            collections.Counter)  # fmt: skip


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
    if getattr(annotation, "__unpacked__", False):  # *tuple[int, ...], evaluated
        return ("star", _generic(annotation.__origin__, _shapes(annotation.__args__, namespace, variables, depth)))
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
    return _generic(origin, _shapes(arguments, namespace, variables, depth))


def _shapes(arguments, namespace, variables, depth):
    return [shape_of(a, namespace, variables, depth) if a is not ... else ... for a in arguments]


def _of_tree(tree, namespace, variables, depth):
    if isinstance(tree, ast.Constant):
        return _shape(tree.value, namespace, variables, depth) if tree.value is not ... else ...
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.BitOr):
        return union([_sub(tree.left, namespace, variables, depth), _sub(tree.right, namespace, variables, depth)])
    if isinstance(tree, ast.Starred):
        return ("star", _sub(tree.value, namespace, variables, depth))
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
        return _spread(shapes)
    if getattr(origin, "_name", None) == "Unpack":
        return ("star", shapes[0])
    if origin is sys.modules["qflow"].Pickle:
        return ("pickle",)
    return ("class", origin, tuple(shapes)) if isinstance(origin, type) else ANY


def _spread(shapes):
    """The shape of a tuple some of whose elements are tuples written out in it."""
    before, any_of, after = [], None, []
    for shape in shapes:
        parts = [shape] if shape[0] != "star" else shape[1][1] if shape[1][0] == "tuple" else None
        if parts is None:  # *tuple[int, ...], or what nobody knows
            inner = shape[1]
            first, any_of, parts = inner[1:] if inner[0] == "spread" else ((), inner[1] if inner[0] == "tuples" else ANY, ())
            before += first
        (before if any_of is None else after).extend(parts)
    if any_of is None:
        return ("tuple", tuple(before))
    return ("spread", tuple(before), any_of, tuple(after)) if before or after else ("tuples", any_of)


def elements(shape, count):
    """What each element of a tuple of so many is; None where it is of no such length, or no tuple."""
    if shape[0] == "tuples":
        return (shape[1],) * count
    if shape[0] == "spread":
        between = count - len(shape[1]) - len(shape[3])
        return shape[1] + (shape[2],) * between + shape[3] if between >= 0 else None
    return shape[1] if shape[0] == "tuple" and len(shape[1]) == count else None


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
