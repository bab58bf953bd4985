"""What a node may call while it runs: over the attempt's channel in Qflow, printed or ignored in plain Python."""

import contextlib
import contextvars
import os
import sys
import time

from . import _runtime

_span_id = contextvars.ContextVar("qflow_span", default=None)


class Current:
    """The attempt that runs: `run_id workflow node_id index attempt key scheduled_for deadline trace_id`."""

    _names = ("run_id", "workflow", "node_id", "index", "attempt", "key", "scheduled_for", "deadline", "trace_id")

    def __init__(self, fields):
        for name in self._names:
            setattr(self, name, fields.get(name))

    def __repr__(self):
        return "Current(%s)" % ", ".join("%s=%r" % (n, getattr(self, n)) for n in self._names)


def current():
    """The attempt that runs; in plain Python one that stands for it."""
    channel = _runtime.channel()
    if channel is None:
        return Current({"run_id": "local", "workflow": "", "node_id": "", "attempt": 1, "key": "local", "trace_id": "0" * 32})
    return Current(dict(channel.current, deadline=_iso(channel.deadline)))


def _iso(seconds):
    """A time as ISO 8601 in UTC; None where there is none."""
    if seconds is None:
        return None
    import datetime

    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat()


def progress(done, total=None):
    """`progress(3, 10)` or `progress(0.3)`."""
    channel = _runtime.channel()
    try:
        fraction = float(done) if total is None else (float(done) / float(total) if total else 1.0)
    except Exception as failed:  # what a node tells of itself never fails it
        if channel is not None:
            channel.warn("qflow.progress(%s): %s" % (_text(done), _text(failed)))
        return
    fraction = min(1.0, max(0.0, fraction)) if fraction == fraction else 0.0
    if channel is not None:
        channel.progress(fraction)


def log(message, **fields):
    """A line with fields: `log("parsed", rows=3)`."""
    text = " ".join([_text(message)] + ["%s=%s" % (k, _text(v)) for k, v in fields.items()])
    channel = _runtime.channel()
    if channel is None:
        print(text, file=sys.stderr)
    else:
        channel.log(text, {k: v if v is None else _plain(v) for k, v in fields.items()})


def _plain(value):
    """A value as JSON has it: what JSON has no number for, `nan` say, is its text."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        return int.__int__(value)
    if isinstance(value, float) and value - value == 0:
        return float.__float__(value)
    return _text(value)


def _text(value):
    """Its `str()`; what has none, an odd class or a number of too many digits, says so. What a node tells of itself never fails it."""
    try:
        text = str(value)
        return text if type(text) is str else str.__str__(text)
    except Exception as failed:
        return "<%s: its str() raised %s>" % (type(value).__name__, type(failed).__name__)


@contextlib.contextmanager
def span(name, **attributes):
    """A span of the run's trace around a block."""
    channel = _runtime.channel()
    if channel is None:
        yield
        return
    span_id, parent = os.urandom(8).hex(), _span_id.get() or channel.span_id
    token, start, error = _span_id.set(span_id), time.time(), None
    try:
        yield
    except BaseException as failed:
        error = "%s: %s" % (type(failed).__name__, _text(failed))
        raise
    finally:
        _span_id.reset(token)
        plain = {str(k): _plain(v) for k, v in attributes.items()}
        channel.span(
            name=_text(name), span_id=span_id, parent_id=parent, start_us=int(start * 1e6), end_us=int(time.time() * 1e6),
            attributes=plain, error=error,
        )  # fmt: skip


def secret(name):
    """The secret of that name: in a node that lists it, its text; in plain Python QFLOW_SECRET_NAME."""
    channel = _runtime.channel()
    if channel is not None and name in channel.secrets:
        return channel.secrets[name]
    variable = "QFLOW_SECRET_" + name.upper().replace("-", "_")
    found = os.environ.get(variable)
    if found is None and channel is None and sys._getframe(1).f_code.co_name == "<module>":
        return ""  # at import, as in `env={"KEY": secret("key")}`, it is a mark that the runner resolves
    if found is None:
        remedy = "set %s" % variable if channel is None else "add it to secrets of the node"
        raise KeyError("no secret %r: %s" % (name, remedy))
    return found
