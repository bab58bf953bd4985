"""Values of Python in the plain form of docs/VALUES.md, as JSON has it."""

import base64
import dataclasses
import datetime
import decimal
import enum
import json
import math
import numbers
import pathlib
import uuid
from typing import Any, Dict, List, Mapping

from . import File, Folder
from ._errors import QflowError

LEVELS = 100  # that the server reads of a value


def plain(value: Any, path: str, level: int = 0) -> Any:
    """The value as `json` writes it; what has no form is an error that names its path."""
    if level > LEVELS:
        raise _wrong(path, "it has more than %d levels, or holds itself" % LEVELS)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return _member(value)
    if isinstance(value, str):
        return _text(str(value), path)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Rational):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, (File, Folder)):
        raise _wrong(path, "a file or folder is a parameter of its own, and stands in no list or mapping")
    if _has_fields(value):
        return {name: plain(getattr(value, name), "%s.%s" % (path, name), level + 1) for name in _fields(value)}
    if isinstance(value, Mapping):
        return _mapping(value, path, level)
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [plain(item, "%s[%d]" % (path, at), level + 1) for at, item in enumerate(value)]
        # Sets have no order: in one of their own, equal ones are written equally.
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True)) if isinstance(value, (set, frozenset)) else items
    return _scalar(value, path)


def _scalar(value: Any, path: str) -> Any:
    if isinstance(value, (datetime.date, datetime.time)):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return duration(value)
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    if isinstance(value, pathlib.PurePath):
        return _text(str(value), path)
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, complex):
        return [repr(value.real), repr(value.imag)]
    raise _wrong(path, "%s has no plain form (docs/VALUES.md)" % type(value).__qualname__)


def duration(value: datetime.timedelta) -> str:
    """ISO 8601: `P1DT2H3M4.5S`, a negative one as `-PT1S`."""
    sign, value = ("-", -value) if value < datetime.timedelta(0) else ("", value)
    hours, minutes = value.seconds // 3600, value.seconds // 60 % 60
    fraction = (".%06d" % value.microseconds).rstrip("0").rstrip(".")
    last = "%d%s" % (value.seconds % 60, fraction)
    counts = [(hours, "H"), (minutes, "M"), ("" if last == "0" else last, "S")]
    time = "".join("%s%s" % count for count in counts if count[0])
    date = "%dD" % value.days if value.days else ""
    if not date and not time:
        time = "0S"
    return "%sP%s%s%s" % (sign, date, "T" if time else "", time)


def _member(value: enum.Enum) -> str:
    """Its name; flags together as `READ|WRITE`, what has no name its number."""
    if not isinstance(value, enum.Flag) or value.name in type(value).__members__:
        return str(value.name)
    bits = [member for member in type(value) if member.value and member.value & (member.value - 1) == 0 and member in value]
    return "|".join(member.name or "" for member in bits) or str(value.value)


def _has_fields(value: Any) -> bool:
    kind = type(value)
    is_named = isinstance(value, tuple) and hasattr(kind, "_fields")
    return dataclasses.is_dataclass(kind) or is_named or hasattr(kind, "model_fields") or hasattr(kind, "__fields__")


def _fields(value: Any) -> List[str]:
    """Of a dataclass, a NamedTuple or a model of pydantic."""
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    named = next(name for name in ("_fields", "model_fields", "__fields__") if hasattr(kind, name))
    return list(getattr(kind, named))


def _mapping(value: Mapping[Any, Any], path: str, level: int) -> Any:
    """An object, its keys as Python's `str()` writes them; pairs where two would be one so."""
    keys = {key: _text(_member(key) if isinstance(key, enum.Enum) else str(key), path) for key in value}
    inside: Dict[Any, Any] = {key: plain(item, "%s[%r]" % (path, key), level + 1) for key, item in value.items()}
    if len(set(keys.values())) == len(keys):
        return {keys[key]: item for key, item in inside.items()}
    return [[plain(key, path, level + 1), item] for key, item in inside.items()]


def _text(text: str, path: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _wrong(path, "a text with half of a surrogate pair cannot be given") from None
    return text


def _wrong(path: str, why: str) -> QflowError:
    return QflowError("%s: %s" % (path, why), code="invalid_value")
