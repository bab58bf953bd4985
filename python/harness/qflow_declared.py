"""A result held to its declared type on its way out: as which class it goes, and what of it goes by pickle."""

import collections

from qflow_classes import data_fields, enum_member, find_class, named
from qflow_encoder import Unserialisable
from qflow_exact import key_text
from qflow_shapes import ANY, DEPTH, MAPPINGS, SEQUENCES, TUPLES, elements, fields_of


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
        items = elements(shape, len(form["v"]))
        if items is None:
            items = [shape[2][0] if kind == "class" and len(shape[2]) == 1 else ANY] * len(form["v"])
        return dict(form, v=[declare(f, s, "%s[%d]" % (path, i)) for i, (f, s) in enumerate(zip(form["v"], items))])
    if kind != "class" or tag not in (None, "map"):
        return form
    if tag == "map":
        key, value = shape[2] if len(shape[2]) == 2 else (ANY, ANY)
        return dict(form, v=[[declare(k, key, path + " key"), declare(v, value, "%s[…]" % path)] for k, v in form["v"]])
    declared = fields_of(shape[1], shape[2]) or {}  # a TypedDict's
    value = shape[2][1] if len(shape[2]) == 2 else ANY
    return {k: declare(v, declared.get(k, value), "%s[%r]" % (path, k)) for k, v in form.items()}


def derives(actual, declared):
    """Whether a class is another or one below it; a `TypedDict`, which nothing is an instance of, is not asked."""
    try:
        return issubclass(actual, declared)
    except TypeError:
        return False


def _declare_object(form, shape, path):
    actual = find_class(form["t"])
    if shape[0] in TUPLES and issubclass(actual, tuple):
        return declare({"$": "tuple", "v": list(form["v"].values())}, shape, path)
    if shape[0] != "class" or not derives(actual, shape[1]):
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
        return (exact or [m for m in classes if derives(actual, m[1])] or [m for m in members if m[0] in TUPLES] or [ANY])[0]
    if tag == "enum":
        cls = find_class(form["t"])
        return ([m for m in members if m[0] == "class" and m[1] is cls] or [m for m in members if m[0] == "class" and derives(cls, m[1])] or [ANY])[0]
    wanted = {"tuple": (tuple,), "set": (set,), "frozenset": (frozenset,), "map": MAPPINGS}.get(tag, MAPPINGS if isinstance(form, dict) else SEQUENCES)
    for member in members:
        if member[0] in TUPLES and tag == "tuple":
            return member
        if member[0] == "class" and (member[1] in wanted or (isinstance(form, dict) and tag is None and hasattr(member[1], "__total__"))):
            return member
    return ANY


def _enum_member(form):
    return enum_member(find_class(form["t"]), form["v"])


_pickles = {}


def has_pickle(shape):
    """Whether a type says `Pickle[…]` anywhere: by itself, in what it holds, or in a field."""
    kind = shape[0]
    if kind == "pickle":
        return True
    if kind in ("union", "tuple"):
        return any(has_pickle(inner) for inner in shape[1])
    if kind == "tuples":
        return has_pickle(shape[1])
    if kind == "spread":
        return any(has_pickle(inner) for inner in shape[1] + (shape[2],) + shape[3])
    if kind != "class":
        return False
    if any(has_pickle(inner) for inner in shape[2]):
        return True
    known = _pickles.get(shape[1:])
    if known is None:
        _pickles[shape[1:]] = False  # a class may hold itself
        fields = fields_of(shape[1], shape[2]) or {}
        known = _pickles[shape[1:]] = any(has_pickle(inner) for inner in fields.values())
    return known


def pickled(value, shape, path="result", depth=0):
    """The paths in a value of what is declared `Pickle[…]`, as the encoder writes them."""
    if depth > DEPTH or value is None or not has_pickle(shape):
        return
    kind = shape[0]
    if kind == "pickle":
        yield path
        return
    if kind == "union":
        yield from pickled(value, _holder(value, shape[1]), path, depth + 1)
        return
    for inner, declared, at in _parts(value, shape, path):
        yield from pickled(inner, declared, at, depth + 1)


def _holder(value, members):
    """The member of a union that a value is of; what no other one takes goes by pickle, where one says so."""
    for member in members:
        if member[0] in TUPLES:
            holds = isinstance(value, tuple)
        elif member[0] == "class" and hasattr(member[1], "__total__"):
            holds = isinstance(value, dict)
        else:
            holds = member[0] == "class" and isinstance(value, member[1])
        if holds:
            return member
    return ("pickle",) if ("pickle",) in members else ANY


def _parts(value, shape, path):
    """What a value holds: each with its declared type, and its path."""
    fields = fields_of(shape[1], shape[2]) if shape[0] == "class" else None
    if fields is not None:
        keys = isinstance(value, dict)  # a TypedDict's
        for name, declared in fields.items():
            if keys and name in value:
                yield value[name], declared, "%s[%r]" % (path, name)
            elif not keys and hasattr(value, name):
                yield getattr(value, name), declared, "%s.%s" % (path, name)
    elif shape[0] in TUPLES:
        for index, (inner, declared) in enumerate(zip(value, elements(shape, len(value)) or ()) if isinstance(value, tuple) else ()):
            yield inner, declared, "%s[%d]" % (path, index)
    elif isinstance(value, dict) and shape[0] == "class" and len(shape[2]) == 2:
        for key, inner in value.items():
            yield inner, shape[2][1], "%s[%s]" % (path, key_text(key))
    elif isinstance(value, (list, tuple, collections.deque)) and shape[0] == "class" and len(shape[2]) == 1:
        for index, inner in enumerate(value):
            yield inner, shape[2][0], "%s[%d]" % (path, index)
