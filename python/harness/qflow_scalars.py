"""Conversions of values that hold no others: the first table of docs/TYPES.md. Texts are read as the command line reads them."""

import math
import re

from qflow_exact import unlimited, zone


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
            (date, str): lambda v: v.isoformat(),
            (dec, str): str, (uuid.UUID, str): str, (pathlib.PurePath, str): str, (int, dec): dec,
        })  # fmt: skip
        _tables.append({
            (float, dec): lambda v: dec(repr(_finite(v))),
            (datetime.datetime, str): _told, (time, str): _told,
            (str, bool): _bool, (int, bool): _bit, (float, bool): _bit,
            (str, int): _int, (float, int): lambda v: _whole(v, math.floor), (dec, int): lambda v: _whole(v, int) if v.adjusted() < DIGITS else _no(v),
            (str, float): _float, (dec, float): lambda v: _equal(float(v), v, lambda made: dec(repr(made))),
            (str, dec): lambda v: dec(_shaped(NUMBER, v)),
            (str, date): lambda v: _date(v.strip(SPACES)), (str, datetime.datetime): lambda v: _datetime(v.strip(SPACES)), (str, time): lambda v: _time(v.strip(SPACES)),
            (str, datetime.timedelta): lambda v: datetime.timedelta(microseconds=_duration(v.strip(SPACES))),
            (str, uuid.UUID): lambda v: uuid.UUID(_shaped(UUID, v)),
            (str, path): lambda v: path(v) if v and "\0" not in v else _no(v),
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
    names.update({name: getattr(typing, name) for name in ("Any", "Sequence", "Iterable", "Collection", "Literal")})
    names.update({name: getattr(typing, name) for name in ("Mapping", "MutableMapping", "OrderedDict", "Counter", "MutableSet", "MutableSequence")})
    return dict(names, Set=typing.AbstractSet, defaultdict=typing.DefaultDict)


def _pattern(text):
    return re.compile(text, re.ASCII)


# Each form of ISO 8601 that leaves nothing out, with separators everywhere or nowhere: a week's day as a day's, a comma as a point.
DATE = _pattern(r"(\d{4})(-?)(?:(\d\d)\2(\d\d)|W(\d\d)\2(\d))")
TIME = _pattern(r"(\d\d)(:?)(\d\d)(?:\2(\d\d)(?:[.,](\d{1,6}))?)?(?:([Zz])|([+-])(\d\d)(?:(:?)(\d\d)(?:\9(\d\d)(?:[.,](\d{1,6}))?)?)?)?")
_HEX = "([0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
UUID = _pattern("(urn:uuid:)?([{]%s[}]|%s)" % (_HEX, _HEX))
CLOCK = _pattern(r"([01]?\d|2[0-3]):[0-5]?\d:[0-5]?\d(\.\d{1,6})?")
INT = _pattern(r"[+-]?\d+")
NUMBER = _pattern(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
DIGITS = 315652  # of an int: a value has at most 2**20 bits of one
WORD = re.compile("[+-]?(inf|infinity|nan)", re.ASCII | re.IGNORECASE)
TRUTHS = dict({word: True for word in ("true", "1", "yes", "on", "t", "y")}, **{word: False for word in ("false", "0", "no", "off", "f", "n")})
UNITS = {"ms": 1000, "us": 1, "w": 604800000000, "d": 86400000000, "h": 3600000000, "m": 60000000, "s": 1000000}


# What Unicode calls white space; `str.strip` takes `\x1c` to `\x1f` besides, which separate records and no words.
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"


def _no(value):
    raise ValueError(value)


def _shaped(pattern, text):
    text = text.strip(SPACES)
    return text if pattern.fullmatch(text) else _no(text)


def _finite(value):
    return value if math.isfinite(value) else _no(value)


def _equal(made, value, back):
    return made if math.isfinite(made) and back(made) == value else _no(value)


def _whole(value, make):
    return _equal(make(_finite(value)), value, lambda made: made)


def _told(value):
    return _no(value) if zone(value) else value.isoformat()  # what ISO 8601 does not tell would be lost


def _bit(value):
    return bool(value) if value in (0, 1) else _no(value)


def _bool(text):
    found = TRUTHS.get(text.strip(SPACES).lower())
    return found if found is not None else _no(text)


def _int(text):
    digits = _shaped(INT, text)
    return unlimited(lambda: int(digits)) if len(digits.lstrip("+-0")) <= DIGITS else _no(text)


def _found(pattern, text):
    found = pattern.fullmatch(text)
    return found.groups() if found else _no(text)


def _date(text):
    import datetime

    year, _, month, day, week, weekday = _found(DATE, text)
    if week is not None:
        return datetime.date.fromisocalendar(int(year), int(week), int(weekday))
    return datetime.date(int(year), int(month), int(day))


def _datetime(text):
    """A date, and a time after `T` or a space; a date alone is its midnight."""
    import datetime

    for at in (10, 8):
        if DATE.fullmatch(text[:at]):
            rest = text[at:]
            good = rest[:1] in ("", "T", "t") or (rest[0] == " " and rest[1:2] not in ("T", "t"))
            if not good:
                break
            time = _time(rest[1:] if rest[0] == " " else rest) if rest else datetime.time()
            return datetime.datetime.combine(_date(text[:at]), time)
    return _no(text)


def _time(text):
    import datetime

    # Without `:` it is a number, unless a `T` says otherwise.
    bare = text[1:] if text[:1] in ("T", "t") else text if text[2:3] == ":" else _no(text)
    hour, _, minute, second, fraction, utc, sign, hours, _, minutes, seconds, rest = _found(TIME, bare)
    zone = datetime.timezone.utc if utc else None
    if sign:
        ahead = _clock(hours, minutes, seconds, rest)
        zone = datetime.timezone(-ahead if sign == "-" else ahead)
    return datetime.time(int(hour), int(minute), int(second or 0), _micro(fraction), zone)


def _clock(hours, minutes, seconds, fraction):
    import datetime

    hours, minutes, seconds = (int(part or 0) for part in (hours, minutes, seconds))
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError("an offset of a day")
    return datetime.timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=_micro(fraction))


def _micro(fraction):
    return int((fraction or "").ljust(6, "0"))


def _float(text):
    text = text.strip(SPACES)
    if WORD.fullmatch(text):
        return float(text)
    value = float(_shaped(NUMBER, text))
    vanished = value == 0 and re.search("[1-9]", re.split("[eE]", text)[0])
    return _finite(value) if not vanished else _no(text)


def _duration(text):
    """Microseconds of a duration; two numbers with a `:` would be a guess. Also as `str()` writes it, `-1 day, 23:59:59`."""
    text = text[1:] if text[:1] == "+" and text[1:2] != "-" else text
    days, found, rest = text.partition(" day")
    if not found:
        return _micros(text) if text.count(":") != 1 else _no(text)
    if not re.fullmatch("[0-9.-]*", days):
        return _no(text)
    rest = rest[1:] if rest[:1] == "s" else rest
    clock = rest.lstrip(", ")
    if not rest:
        return _micros(days + "d")
    if rest[0] not in ", " or clock.count(":") != 2 or "-" in clock:
        return _no(text)
    # Of a negative one the clock is none, as Python has it, where that is just how it is written: else it would be a guess.
    if "-" in days and not (rest[:2] == ", " and CLOCK.fullmatch(clock) and "." not in days):
        return _no(text)
    return _micros(days + "d") + _micros(clock)


def _micros(text):
    """Microseconds of a duration, as `qflow_model::duration` reads it."""
    sign, text = (-1, text[1:]) if text.startswith("-") else (1, text)
    for read in (_seconds, _clocked, _iso, _suffixed):
        micros = read(text)
        if micros is not None:
            return sign * micros
    return _no(text)


def _number(text, unit):
    """So many of a unit, in whole microseconds."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if not re.fullmatch("[0-9]{1,20}", digits):
        return None
    micros, left = divmod(int(digits) * unit, 10 ** len(fraction))
    return None if left else micros


def _seconds(text):
    return _number(text, UNITS["s"])


def _clocked(text):
    parts = [_number(part, UNITS[unit]) for part, unit in zip(text.split(":"), "hms")]
    return sum(parts) if text.count(":") == 2 and None not in parts else None


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
    amounts = [_number(amount, UNITS[unit.lower()]) for amount, unit in re.findall("([0-9.]+)(%s)" % known, text)]
    return None if None in amounts else sum(amounts)
