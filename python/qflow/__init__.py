"""Qflow's SDK: typed functions become nodes and workflows, and a file of them still runs as ordinary Python."""

import builtins as _builtins
import datetime as _datetime
import functools as _functools
import inspect as _inspect
import re as _re
import sys as _sys

from . import _runtime
from ._inside import Current, current, log, progress, secret, span
from ._values import File, Folder, Outcome, OutcomeError, Pickle

__all__ = [
    "Abort", "Cancelled", "Current", "File", "Folder", "Outcome", "OutcomeError", "Pickle", "Retry", "approval", "cron", "current",
    "log", "map", "node", "progress", "secret", "settled", "sleep", "span", "workflow",
]  # fmt: skip

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60000, "h": 3600000, "d": 86400000}
_MAX_S = 3650 * 86400  # longer than anything waits


def _duration_ms(value):
    """Milliseconds of `30`, `1.5` (seconds) or `"90s"`, `"2m"`, `"1h30m"`; None stays None."""
    if value is None:
        return None
    if hasattr(value, "total_seconds"):
        value = value.total_seconds()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not -_MAX_S <= value <= _MAX_S:  # so is what is no number, `nan`
            raise ValueError("a duration is at most ten years, not %r" % (value,))
        return int(value * 1000)
    parts = _re.findall(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", str(value))
    if not parts or "".join(n + u for n, u in parts) != _re.sub(r"\s", "", str(value)):
        raise ValueError("a duration reads like '90s', '2m' or '1h30m', not %r" % (value,))
    total = sum(float(number) * _UNITS_MS[unit] for number, unit in parts)
    _duration_ms(total / 1000)
    return int(total)


def _is_time(value):
    """Whether a sleep is until a time: a datetime, or the ISO text of one."""
    return isinstance(value, _datetime.datetime) or bool(_re.match(r"\d{4}-\d\d-\d\d([T ]|$)", str(value)))


class Abort(Exception):
    """Raised in a node: it failed, and is not tried again."""


class Retry(Exception):
    """Raised in a node: try it again, after a while where one is given; at once where that is over already."""

    def __init__(self, message="", after=None):
        super().__init__(message or "the node asked to be tried again")
        self.after_ms = None if after is None else max(0, _duration_ms(after))


class Cancelled(BaseException):
    """Raised in a node on cancellation and time-out; `finally` has 5 seconds."""


def _awaited(fn):
    """An `async def` node gives its value where nothing runs that could await it, as it does in a workflow; else it is a coroutine."""

    @_functools.wraps(fn)
    def call(*args, **kwargs):
        import asyncio

        made = fn(*args, **kwargs)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(made)
        return made

    return call


def _decorator(kind):
    def decorate(fn=None, **options):
        if fn is None:
            return lambda inner: decorate(inner, **options)
        if not callable(fn):
            raise TypeError("@%s stands on a function; its options are given by name" % kind)
        if kind == "node" and _inspect.iscoroutinefunction(fn):
            fn = _awaited(fn)
        fn.__qflow__ = (kind, options)
        return fn

    decorate.__name__ = decorate.__qualname__ = kind
    return decorate


node = _decorator("node")
node.__doc__ = "Marks a function as a node: `@node` or `@node(python=\"3.11\", retries=3)`. It stays an ordinary function."
workflow = _decorator("workflow")
workflow.__doc__ = "Marks a function as a workflow: `@workflow` or `@workflow(name=…)`. It stays an ordinary function."


def map(fn, *iterables, **constants):  # noqa: A001 (the name that users write)
    """Calls a node or workflow for each element, constants by keyword; the builtin for anything else."""
    if not hasattr(fn, "__qflow__"):
        return _builtins.map(fn, *iterables, **constants)
    if len(iterables) != 1:
        raise TypeError("map takes one list by position; constants go by keyword")
    return [fn(element, **constants) for element in iterables[0]]


def settled(fn):
    """A call that gives an `Outcome` where `fn` would raise."""

    def call(*args, **kwargs):
        try:
            return Outcome(True, fn(*args, **kwargs), None)
        except Exception as error:
            return Outcome(False, None, OutcomeError(type(error).__name__, str(error), "failed", 1))

    call.__name__ = getattr(fn, "__name__", "settled")
    call.__qflow__ = ("settled", {})
    return call


def sleep(duration):
    """In a workflow: waits, for a duration or until a time. In plain Python it says so and goes on."""
    if not _is_time(duration):
        _duration_ms(duration)
    print("qflow: sleep(%r)" % (duration,), file=_sys.stderr)


def approval(name, timeout=None):
    """In a workflow: waits for a person. In plain Python it asks on a terminal, else it is True."""
    _duration_ms(timeout)
    if not _sys.stdin or not _sys.stdin.isatty():
        return True
    return input("approve %s? [y/N] " % name).strip().lower() in ("y", "yes")


class cron:  # noqa: N801 (reads as a word in `schedule=cron(…)`)
    """A schedule: `schedule=cron("0 2 * * *", tz="Europe/Berlin", into="day", overlap="skip")`."""

    def __init__(self, expression, tz="UTC", into=None, catch_up="last", overlap="allow", jitter=None):
        self.expression, self.tz, self.into = expression, tz, into
        self.catch_up, self.overlap, self.jitter = catch_up, overlap, jitter
