"""Classes of values: their fields, the names they travel under, and objects of them rebuilt without their initialisers."""

import importlib
import os
import re
import sys

from qflow_entry import Entry, is_submitted


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
    root = {"root": fields["root"]} if getattr(cls, "__pydantic_root_model__", False) else {}
    made = cls.model_construct(_fields_set={name for name in fields if name in known}, **root)
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
