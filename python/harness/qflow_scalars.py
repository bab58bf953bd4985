"""Conversions of values that hold no others: the first table of docs/TYPES.md. Texts are read as the command line reads them."""

import math
import re

from qflow_decoder import iso


def scalar(value, cls, strict):
    """By the table; None where it has no row, or where the value does not convert."""
    sure, asked = _table()
    for base in type(value).__mro__:
        made = sure.get((base, cls)) or (asked.get((base, cls)) if strict else None)
        if made is not None:
            try:
                return made(value)
            except (ValueError, ArithmeticError):
                return None
    return None


_tables = []


def _table():
    """What never fails and what may, by the class of the value and the declared one. Readers raise ValueError."""
    if not _tables:
        import datetime
        import decimal
        import pathlib
        import uuid

        date, time, dec, path = datetime.date, datetime.time, decimal.Decimal, pathlib.Path
        _tables.append({
            (date, datetime.datetime): lambda v: datetime.datetime(v.year, v.month, v.day),
            (date, str): lambda v: v.isoformat(), (time, str): lambda v: v.isoformat(),
            (dec, str): str, (uuid.UUID, str): str, (pathlib.PurePath, str): str, (int, dec): dec,
        })  # fmt: skip
        _tables.append({
            (float, dec): lambda v: dec(repr(_finite(v))),
            (str, bool): _bool, (int, bool): _bit, (float, bool): _bit,
            (str, int): _int, (float, int): lambda v: _whole(v, math.floor), (dec, int): lambda v: _whole(v, int),
            (str, float): _float, (dec, float): lambda v: _equal(float(v), v, lambda made: dec(repr(made))),
            (str, dec): lambda v: dec(_shaped(NUMBER, v)),
            (str, date): lambda v: date.fromisoformat(_shaped(DATE, v)),
            (str, datetime.datetime): lambda v: datetime.datetime.fromisoformat(iso(_shaped(DATETIME, v))),
            (str, time): lambda v: time.fromisoformat(iso(_shaped(TIME, v))),
            (str, datetime.timedelta): lambda v: datetime.timedelta(microseconds=_micros(v.strip())),
            (str, uuid.UUID): lambda v: uuid.UUID(_shaped(UUID, v)),
            (str, path): lambda v: path(v) if v else _no(v),
        })  # fmt: skip
    return _tables


def classes():
    """Names of the classes of the standard library that types are made of."""
    import datetime
    import decimal
    import pathlib
    import typing
    import uuid

    names = {c.__name__: c for c in (datetime.date, datetime.datetime, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID, pathlib.Path)}
    names.update({name: getattr(typing, name) for name in ("Any", "Sequence", "Iterable", "Collection", "Mapping", "Literal")})
    return dict(names, Set=typing.AbstractSet)


def _clock(fraction):
    return r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d" + fraction + ")?"


def _pattern(text):
    return re.compile(text, re.ASCII)


_OFFSET = "([Zz]|[+-]" + _clock("") + ")?"
DATE = _pattern(r"\d{4}-\d\d-\d\d")
TIME = _pattern(_clock(r"(\.\d{1,6})?") + _OFFSET)
DATETIME = _pattern(DATE.pattern + "[T ]" + TIME.pattern)
UUID = _pattern("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
INT = _pattern(r"[+-]?\d+")
NUMBER = _pattern(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
WORD = re.compile("[+-]?(inf|infinity|nan)", re.ASCII | re.IGNORECASE)
TRUTHS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
UNITS = {"ms": 1e3, "us": 1.0, "w": 604800e6, "d": 86400e6, "h": 3600e6, "m": 60e6, "s": 1e6}


def _no(value):
    raise ValueError(value)


def _shaped(pattern, text):
    text = text.strip()
    return text if pattern.fullmatch(text) else _no(text)


def _finite(value):
    return value if math.isfinite(value) else _no(value)


def _equal(made, value, back):
    return made if math.isfinite(made) and back(made) == value else _no(value)


def _whole(value, make):
    return _equal(make(_finite(value)), value, lambda made: made)


def _bit(value):
    return bool(value) if value in (0, 1) else _no(value)


def _bool(text):
    found = TRUTHS.get(text.strip().lower())
    return found if found is not None else _no(text)


def _int(text):
    return int(_shaped(INT, text))


def _float(text):
    text = text.strip()
    if WORD.fullmatch(text):
        return float(text)
    value = float(_shaped(NUMBER, text))
    vanished = value == 0 and re.search("[1-9]", re.split("[eE]", text)[0])
    return _finite(value) if not vanished else _no(text)


def _micros(text):
    """Microseconds of a duration, as `qflow_model::duration` reads it."""
    sign, text = (-1, text[1:]) if text.startswith("-") else (1, text)
    for read in (_seconds, _clocked, _iso, _suffixed):
        micros = read(text)
        if micros is not None:
            return sign * math.floor(micros + 0.5)
    return _no(text)


def _number(text):
    try:
        return float(text) if re.fullmatch(r"[0-9.]+", text) else None
    except ValueError:
        return None


def _seconds(text):
    number = _number(text)
    return None if number is None else number * 1e6


def _clocked(text):
    parts = [_number(part) for part in text.split(":")]
    if len(parts) not in (2, 3) or None in parts:
        return None
    return sum(part * unit for part, unit in zip(reversed(parts), (1.0, 60.0, 3600.0))) * 1e6


def _iso(text):
    if not text.startswith("P"):
        return None
    date, _, time = text[1:].partition("T")
    parts = _units(date, "W|D"), _units(time, "H|M|S")
    return sum(parts) if (date or time) and None not in parts else None


def _suffixed(text):
    return _units(text, "ms|us|w|d|h|m|s") if text else None


def _units(text, known):
    if not re.fullmatch("([0-9.]+(%s))*" % known, text):
        return None
    amounts = [(_number(amount), UNITS[unit.lower()]) for amount, unit in re.findall("([0-9.]+)(%s)" % known, text)]
    return None if any(amount is None for amount, _ in amounts) else sum(amount * unit for amount, unit in amounts)
