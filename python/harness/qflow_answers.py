"""What an attempt answers about its result: for branches and maps, which never open a value."""

import sys

from qflow_classes import enum_name
from qflow_encoder import surrogates

SCALAR_BYTES = 256  # a text that an answer may carry


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
