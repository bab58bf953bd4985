"""The attempt's process: its streams, its channel to the template, the call of the user's function."""

import io
import json
import marshal
import os
import random
import signal
import sys
import tempfile
import threading
import time

from qflow_entry import MESSAGE_CHARS, Entry, clean, failure, import_entry, plain_failure
from qflow_frames import VALUE_BYTES, Inbox, blob, message
from qflow_values import Decoder, Unserialisable, answer, build, encoding

LOG_BYTES = 8 << 20  # stdio an attempt, as the design promises
LINE_BYTES = 64 << 10  # one line; a flood without newlines is cut into such
SPARE_BYTES = 64 << 10  # past it an attempt forks for itself: what a socket surely takes at once


def size_of(text):
    """Bytes of a line, its end included."""
    return (len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))) + 1


class Stream(io.TextIOBase):
    """A Python-level stream: whole lines as frames while an attempt runs, else the descriptor."""

    encoding, errors = "utf-8", "replace"

    def __init__(self, name, fd):
        self.stream, self.fd, self.channel, self.part = name, fd, None, ""
        self.buffer = io.FileIO(fd, "w", closefd=False)

    def fileno(self):
        return self.fd

    def writable(self):
        return True

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not %s" % type(text).__name__)
        if self.channel is None:
            try:
                self.buffer.write(text.encode("utf-8", "replace"))
            except OSError:
                pass
            return len(text)
        self.part += text
        if "\n" in text or len(self.part) > LINE_BYTES:
            *lines, self.part = self.part.split("\n")
            if len(self.part) > LINE_BYTES:
                lines.append(self.part)
                self.part = ""
            self.channel.lines(self.stream, lines)
        return len(text)

    def rest(self):
        if self.channel is not None and self.part:
            part, self.part = self.part, ""
            self.channel.lines(self.stream, [part])


class Channel:
    """The child's side of its private socket; also what the SDK talks to."""

    def __init__(self, sock, order, secrets):
        self.sock, self.lock, self.owner = sock, threading.RLock(), os.getpid()
        self.sending, self.cancelled, self.kept = False, False, 0
        self.dropped = 0
        self.secrets, self.current = secrets, order["current"]
        parent = (order.get("traceparent") or "").split("-")
        self.span_id = parent[2] if len(parent) > 2 else ""

    def send(self, *frames):
        if os.getpid() != self.owner:
            return
        if sum(map(len, frames)) <= SPARE_BYTES:
            frames = (b"".join(frames),)  # each word wakes the template
        with self.lock:
            self.sending = True
            try:
                for part in frames:
                    self.sock.sendall(part)
            finally:
                self.sending = False
        if self.cancelled and threading.current_thread() is threading.main_thread():
            self.cancelled = False
            raise sys.modules["qflow"].Cancelled("cancelled")

    def lines(self, stream, lines):
        kept, now = [], int(time.time() * 1e6)
        for line in lines:
            self.kept += size_of(line)
            if self.kept > LOG_BYTES:
                self.dropped += 1
            else:
                kept.append(clean(line))
        if kept:
            self.send(message(type="lines", stream=stream, at_us=now, lines=kept))

    def log(self, text):
        self.lines("log", text.split("\n"))

    def progress(self, fraction):
        self.send(message(type="progress", fraction=float(fraction)))

    def span(self, **fields):
        self.send(message(type="span", **fields))

    def warn(self, text):
        self.send(message(type="warning", text=clean(str(text))[:MESSAGE_CHARS]))


def settle(home):
    """What a forked process does before it knows its attempt."""
    os.environ.update({"HOME": home, "TMPDIR": home})
    os.chdir(home)
    tempfile.tempdir = None
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def rehearse():
    """Goes the way of an attempt once: what is touched now is copied from the template now, not while somebody waits."""
    word = marshal.loads(marshal.dumps(({"size": 2, "function": "", "types": {}, "env": {"": ""}}, b"{}")))
    decode(word[0], word[1], "")
    Inbox().feed(message(type="rehearsal", ms=time.perf_counter() - time.time(), at=result({}, [1, "a", {"b": 1.5}])[0][:0].decode()))


def child(sock, order, data, streams, home, fresh):
    """Runs the function in the forked process, and says what came of it."""
    channel = Channel(sock, order, order.get("secrets") or {})
    sdk = sys.modules["qflow"]
    os.environ.update({k: str(v) for k, v in (order.get("env") or {}).items()})
    os.environ.update({"QFLOW_SECRET_" + k.upper().replace("-", "_"): v for k, v in channel.secrets.items()})
    Entry.current = {"function": order["function"]}
    for stream in streams:
        stream.channel = channel
    sdk._runtime.attach(channel)

    def detach():
        for stream in streams:
            stream.channel, stream.part = None, ""
        sdk._runtime.attach(None)

    os.register_at_fork(after_in_child=detach)

    def terminate(number, _frame):
        if channel.sending:
            channel.cancelled = True
        else:
            raise sdk.Cancelled("cancelled")

    signal.signal(signal.SIGTERM, terminate)
    took, frames = 0.0, []
    try:
        if fresh:
            import_entry()
        function, arguments = getattr(Entry.module, order["function"]), decode(order, data, home)
        begun = time.perf_counter()
        try:
            value = function(**arguments)
            if hasattr(value, "__await__"):
                import asyncio

                async def whole():
                    return await value

                value = asyncio.run(whole())
        finally:
            took = (time.perf_counter() - begun) * 1e3
        frames = result(order, value)
    except Unserialisable as error:
        frames = [message(type="failed", error=dict(plain_failure("serialization", str(error)), mro=["TypeError", "Exception"]))]
    except BaseException as error:  # the user's error is the node's outcome
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        frames = [message(type="failed", error=failure(error))]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    channel.cancelled = False
    for stream in streams:
        stream.rest()
    channel.send(message(type="took", ms=took, dropped=channel.dropped), *frames)


def result(order, value):
    data, items, attachments = encoding(value)
    size = len(data) + sum(len(a) for _, a in attachments)
    if size > VALUE_BYTES:
        return [message(type="failed", error=plain_failure("output_size", "%d bytes, where %d are allowed" % (size, VALUE_BYTES)))]
    answers = [answer(value, path) for path in order.get("asks") or ()]
    heads = [{"kind": k, "size": len(a)} for k, a in attachments]
    frames = [message(type="result", size=len(data), items=items, answers=answers, attachments=heads)]
    for part in [data] + [a for _, a in attachments]:
        frames.extend(blob(part))
    return frames


def decode(order, data, home):
    at, parts = order["size"], []
    for head in order.get("attachments") or ():
        parts.append(data[at : at + head["size"]])
        at += head["size"]
    decoder = Decoder(parts, home)
    form = json.loads(data[: order["size"]].decode() or "{}")
    if "$" in form:
        return decoder.value(form)
    arguments = {k: decoder.value(v) for k, v in form.items()}
    for name, declared in (order.get("types") or {}).items():
        cls = getattr(Entry.module, declared.rpartition(".")[2], None)
        if isinstance(arguments.get(name), dict) and hasattr(cls, "__dataclass_fields__"):
            arguments[name] = build(cls, arguments[name])
    return arguments
