"""Values of the standard library, numpy, pandas and pydantic that the tagged form has whole, and why others have none."""

import sys

INT_BITS = 1 << 20  # of an int: its digits take a second to write


class Inexact(Exception):
    """Why a value would not come back as it is."""


def digits(value):
    """An int in decimal, however many digits Python itself would write."""
    if value.bit_length() > INT_BITS:
        raise Inexact("an int of %d bits, where %d are allowed" % (value.bit_length(), INT_BITS))
    return unlimited(lambda: str(value))


def unlimited(make):
    """Python 3.11 refuses texts of more than 4300 digits, which guards what reads texts of strangers."""
    try:
        return make()
    except ValueError:
        if not hasattr(sys, "set_int_max_str_digits"):
            raise
    before = sys.get_int_max_str_digits()  # novm: asked for above
    sys.set_int_max_str_digits(0)  # novm
    try:
        return make()
    finally:
        sys.set_int_max_str_digits(before)  # novm


def key_text(key):
    """A key as paths name it; an odd one by its type."""
    try:
        return repr(key)
    except Exception:  # whatever its `__repr__` raises
        return "<%s>" % type(key).__name__


def instant(value):
    """The form of a datetime: with the name of its zone, and which of the two where clocks are put back."""
    kind = type(value)
    if kind.__name__ == "NaTType":
        raise Inexact("NaT, which is no time: give None")
    if hasattr(value, "to_pydatetime"):
        if value.nanosecond:
            raise Inexact("nanoseconds, which a datetime has not: `.floor('us')` them")
        value = value.to_pydatetime()
    return dict({"$": "datetime", "v": value.isoformat()}, **zone(value))


def zone(value):
    """What ISO 8601 does not tell of a datetime or a time."""
    told, tz = {}, value.tzinfo
    name = getattr(tz, "key", None)  # zoneinfo's
    if name is None and tz is not None and tz.utcoffset(None) is None:  # else its offset is all of it
        name = getattr(tz, "zone", None)  # pytz's
        if not isinstance(name, str):
            said = "a time zone of type %s.%s, which has no name: use zoneinfo.ZoneInfo, or `.astimezone(datetime.timezone.utc)`"
            raise Inexact(said % (type(tz).__module__, type(tz).__qualname__))
    if name is not None:
        told["zone"] = str(name)
    if value.fold:
        told["fold"] = 1
    return told


def placed(value, form):
    """A datetime or a time with its zone and its fold again."""
    if "zone" in form:
        try:
            import zoneinfo  # novm: told where it is not
        except ImportError:
            raise TypeError("the time zone %s needs Python 3.9, where zoneinfo is" % form["zone"])
        value = value.replace(tzinfo=zoneinfo.ZoneInfo(form["zone"]))
    return value.replace(fold=1) if "fold" in form else value


def duration(value):
    """Refuses what pandas has and a timedelta has not."""
    if getattr(value, "nanoseconds", 0):
        raise Inexact("nanoseconds, which a timedelta has not: `.floor('us')` them")
    return {"$": "timedelta", "v": [value.days, value.seconds, value.microseconds]}


def number(value, numpy):
    """A scalar of numpy as Python's own of the same value."""
    if isinstance(value, (numpy.datetime64, numpy.timedelta64)):
        if numpy.isnat(value):
            raise Inexact("NaT, which is no time: give None")
        unit = numpy.datetime_data(value.dtype)[0]
        finer = value.astype(value.dtype.str[1:2] + "8[us]") if unit not in ("generic", "Y", "M", "W", "D") else value
        item = finer.item()
        if isinstance(item, int) or finer != value:
            raise Inexact("%s: it fits no datetime or timedelta of Python's to its last digit" % value.dtype)
        return item
    item = value.item()
    if type(item) is type(value) or isinstance(value, numpy.void):
        raise Inexact("a scalar of %s" % value.dtype)
    return item


def lost(value, fields):
    """The name of an attribute of an object that would not travel with its fields; None where there is none."""
    cls = type(value)
    for name in getattr(value, "__dict__", None) or ():
        if name not in fields and name[:2] != "__" and not is_cached(cls, name):
            return name
    private = getattr(value, "__pydantic_private__", None) or {}
    for name, held in private.items():
        declared = (getattr(cls, "__private_attributes__", None) or {}).get(name)
        if declared is None or not is_same(held, declared.get_default()):
            return name
    return None


def is_cached(cls, name):
    """Whether an attribute is kept of a property: it is made again."""
    for base in cls.__mro__:
        if name in base.__dict__:
            return type(base.__dict__[name]).__name__ == "cached_property" or hasattr(base.__dict__[name], "wrapped_property")
    return False


def is_same(one, other):
    try:
        return one is other or (type(one) is type(other) and bool(one == other))
    except Exception:  # whatever its `__eq__` raises
        return False
