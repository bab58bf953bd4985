"""The attempt's process: its streams, its channel to the template, the call of the user's function."""

import io
import json
import marshal
import os
import re
import resource
import signal
import sys
import tempfile
import threading
import time

import qflow_content
import qflow_convert
from qflow_answers import answer
from qflow_declared import pickled
from qflow_decoder import Decoder
from qflow_encoder import Unserialisable, encoding
from qflow_entry import MESSAGE_CHARS, NAME_CHARS, Entry, Struck, clean, failure, import_entry, plain_failure, set_environment
from qflow_entry import strike_out
from qflow_fit import Unfit, fit
from qflow_frames import VALUE_BYTES, Inbox, blob, message
from qflow_processes import SIG_IGN, on_signal
from qflow_said import FIELDS, FIELDS_CHARS, cut, fields_of
from qflow_shapes import of_function, shape_of

LOG_BYTES = 8 << 20  # stdio an attempt, as the design promises
LINE_BYTES = 64 << 10  # one line; a flood without newlines is cut into such
WORDS = re.compile(r"[A-Za-z_][\w.]*")  # names in a type
CO_COROUTINE = 0x80  # of a code object: `async def`
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
                # What may be the beginning of a secret stays for the next.
                part, left = clean(self.part), max(Struck.longest - 1, 0)
                lines.append(part[: len(part) - left])
                self.part = part[len(part) - left :]
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
        self.dropped, self.told_cut = 0, set()
        self.secrets, self.current = secrets, order["current"]
        limit = order.get("deadline_ms")
        self.deadline = None if limit is None else time.time() + limit / 1e3
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

    def lines(self, stream, lines, fields=None):
        kept, now = [], int(time.time() * 1e6)
        for line in lines:
            self.kept += size_of(line)
            if self.kept > LOG_BYTES:
                self.dropped += 1
            else:
                kept.append(clean(line))
        if kept:
            said = {"fields": fields} if fields else {}
            self.send(message(type="lines", stream=stream, at_us=now, lines=kept, **said))

    def log(self, text, fields):
        if fields:
            fields, lost = fields_of(fields)
            self.tell_cut("qflow.log", lost)
            text = text.replace("\n", " ")
        for line in map(clean, text.split("\n")):
            for at in range(0, len(line) or 1, LINE_BYTES):
                self.lines("log", [line[at : at + LINE_BYTES]], fields if at == 0 else None)

    def progress(self, fraction):
        self.send(message(type="progress", fraction=float(fraction)))

    def span(self, name, attributes, error, **fields):
        (name, shorter), (attributes, lost) = cut(name, NAME_CHARS), fields_of(attributes)
        self.tell_cut("qflow.span", shorter or lost)
        error = error and cut(error, MESSAGE_CHARS)[0]
        self.send(message(type="span", name=name, attributes=attributes, error=error, **fields))

    def tell_cut(self, what, lost):
        if lost and what not in self.told_cut:
            self.told_cut.add(what)
            said = "%s: what it was given is cut: at most %d names, and %d characters of them and their values"
            self.warn(said % (what, FIELDS, FIELDS_CHARS))

    def warn(self, text):
        self.send(message(type="warning", text=clean(str(text))[:MESSAGE_CHARS]))


def settle(home):
    """What a forked process does before it knows its attempt."""
    os.environ["HOME"] = os.environ["TMPDIR"] = home
    os.chdir(home)
    tempfile.tempdir = None
    # The module `random` seeds itself anew in every fork.
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def rehearse():
    """Goes the way of an attempt once: what is touched now is copied from the template now, not while somebody waits."""
    word = marshal.loads(marshal.dumps(({"size": 2, "function": "", "types": {}, "env": {"": ""}}, b"{}")))
    decode(word[0], word[1], "")
    Inbox().feed(message(type="rehearsal", ms=time.perf_counter() - time.time(), at=result({}, [1, "a", {"b": 1.5}])[0][:0].decode()))


class Ending:
    """How SIGTERM reaches the user's code: as an exception where it stands, or as the cancelling of its task where it is a coroutine."""

    def __init__(self, channel, cancelled):
        self.channel, self.cancelled, self.loop, self.task, self.asked = channel, cancelled, None, None, False

    def __call__(self, _number, _frame):
        self.asked = True
        if self.task is not None:
            self.loop.call_soon_threadsafe(self.task.cancel)
        elif self.channel.sending:
            self.channel.cancelled = True
        else:
            raise self.cancelled("cancelled")

    def run(self, awaitable):
        """As `asyncio.run` does it; the node that was cancelled ends by `Cancelled`, whatever its tasks made of that."""
        import asyncio

        async def whole():
            self.loop, self.task = asyncio.get_running_loop(), asyncio.current_task()
            try:
                return await awaitable
            finally:
                self.task = None

        try:
            return asyncio.run(whole())
        except asyncio.CancelledError as where:
            if not self.asked:
                raise
            raise self.cancelled("cancelled") from where
        finally:
            self.task = None


def coroutine_of(function):
    """An `async def` node as it was written: the SDK's own call of it, for plain Python, would not be cancelled task by task."""
    inner = getattr(function, "__wrapped__", None)
    is_coroutine = getattr(getattr(inner, "__code__", None), "co_flags", 0) & CO_COROUTINE
    return inner if is_coroutine and hasattr(function, "__qflow__") else function


def child(sock, order, data, streams, home, fresh):
    """Runs the function in the forked process, and says what came of it."""
    channel = Channel(sock, order, order.get("secrets") or {})
    strike_out(channel.secrets.values())
    sdk = sys.modules["qflow"]
    if order.get("env"):  # else it stands as the template has it
        set_environment(order["env"])
    for name, secret in channel.secrets.items():
        os.environ["QFLOW_SECRET_" + name.upper().replace("-", "_")] = secret
    Entry.current = {"function": order["function"], "network": order.get("network", True), "isolated": order.get("isolated", False)}
    for stream in streams:
        stream.channel = channel
    sdk._runtime.attach(channel)

    def detach():
        for stream in streams:
            stream.channel, stream.part = None, ""
        sdk._runtime.attach(None)

    ending = Ending(channel, sdk.Cancelled)
    os.register_at_fork(after_in_child=detach)
    leave_workers_to_sigterm(ending)
    if not order.get("network", True) and not order.get("isolated", True):
        watch_network(channel)
    on_signal(signal.SIGTERM, ending)
    took, wrote, frames, converted = 0.0, 0.0, [], {}
    try:
        if fresh:
            import_entry()
        function = coroutine_of(getattr(Entry.module, order["function"]))
        arguments = decode(order, data, home, function, converted)
        begun = time.perf_counter()
        try:
            value = function(**arguments)
            if hasattr(value, "__await__"):
                value = ending.run(value)
        finally:
            took = (time.perf_counter() - begun) * 1e3
        begun = time.perf_counter()
        frames = result(order, value, channel, function)
        wrote = (time.perf_counter() - begun) * 1e3
    except Unserialisable as error:
        frames = [message(type="failed", error=dict(plain_failure("serialization", str(error)), mro=["TypeError", "Exception"]))]
    except qflow_content.TooLarge as error:
        frames = [message(type="failed", error=plain_failure("output_size", str(error)))]
    except Unfit as error:
        frames = [message(type="failed", error=plain_failure("argument", str(error)))]  # another attempt gets the same
    except BaseException as error:  # the user's error is the node's outcome
        on_signal(signal.SIGTERM, SIG_IGN)
        frames = [message(type="failed", error=failure(error))]
    on_signal(signal.SIGTERM, SIG_IGN)
    channel.cancelled = False
    for stream in streams:
        stream.rest()
    peak, cpu = usage()
    took = dict(ms=took, serialized_ms=wrote, dropped=channel.dropped, converted_ms=converted, peak_memory_bytes=peak, cpu_seconds=cpu)
    channel.send(message(type="took", **took), *frames)


def usage():
    """The most bytes that this process had, or one that it waited for; and the seconds of processor that they took."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return max(own.ru_maxrss, others.ru_maxrss) * 1024, own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def leave_workers_to_sigterm(ending):
    """Ends a process that the node forks where it is sent SIGTERM, as pools do with their workers: also in the moment of its fork."""
    masks = {}

    def before():
        masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def after():
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop(threading.get_ident()))

    def after_in_child():
        if signal.getsignal(signal.SIGTERM) is ending:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        after()

    os.register_at_fork(before=before, after_in_parent=after, after_in_child=after_in_child)


def watch_network(channel):
    """Where nothing keeps the node from the network: tells once that it would be kept from it in a container."""
    told = []

    def audit(event, arguments):
        if event not in ("socket.connect", "socket.getaddrinfo") or told:
            return
        address = arguments[1] if event == "socket.connect" else arguments[0]
        host = address[0] if isinstance(address, tuple) else address if event == "socket.getaddrinfo" else None
        host = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        if not isinstance(host, str) or host in ("localhost", "::1", "") or host.startswith("127."):
            return
        told.append(host)
        channel.warn("it reaches for %s without network=True: a container would keep it from any network" % host)

    sys.addaudithook(audit)


def declared(order, function):
    """The declared type of the result, as it stands at the function, else as it came with the attempt."""
    namespace, annotations = of_function(function)
    return shape_of(annotations.get("return", order.get("returns") or "Any"), namespace)


def result(order, value, channel=None, function=None):
    """Sends what is large ahead, piece by piece; gives the message of the value with what is small."""
    by_pickle = ()
    if not KNOWN.issuperset(WORDS.findall(order.get("returns") or "")):  # else nothing of it is declared so
        by_pickle = frozenset(pickled(value, declared(order, function)))
    identity = {"lock": order.get("lock") or "", "user": order.get("user") or ""}
    warn = channel.warn if channel is not None else None
    data, items, attachments = encoding(value, lambda: declared(order, function), identity, warn, by_pickle)
    heads, small, size, sent = [], [], 0, 0
    for kind, source, pieces, path in attachments:
        if pieces is qflow_content.of_bytes and len(memoryview(source)) <= qflow_content.WHOLE_BYTES:
            heads.append({"kind": kind, "size": len(memoryview(source))})
            small.append(source)
            size += heads[-1]["size"]
            continue
        heads.append({"kind": kind, "content": sent})
        size += send_content(channel, sent, pieces(source, path), path)
        sent += 1
    size = max(size, len(data))  # a file may have all that is allowed; what says so is not counted
    if size > VALUE_BYTES:
        return [message(type="failed", error=plain_failure("output_size", "%d bytes, where %d are allowed" % (size, VALUE_BYTES)))]
    answers = [answer(value, path) for path in order.get("asks") or ()]
    frames = [message(type="result", size=len(data), items=items, answers=answers, attachments=heads)]
    for part in [data] + small:
        frames.extend(blob(part))
    return frames


def send_content(channel, number, pieces, path):
    """Streams content; the last word says that it is whole."""
    offset = 0
    try:
        for piece in qflow_content.bounded(pieces, path):
            channel.send(message(type="content", content=number, offset=offset, size=len(piece), last=False), *blob(piece))
            offset += len(piece)
    except qflow_content.Refused as refused:
        raise Unserialisable(str(refused))
    except OSError as failed:
        raise Unserialisable("%s: %s" % (path, failed))
    channel.send(message(type="content", content=number, offset=offset, size=0, last=True))
    return offset


KNOWN = frozenset(
    "Any None Never bool int float complex str bytes Decimal date datetime time timedelta UUID Path list set frozenset tuple dict Sequence "
    "Iterable Collection Mapping Set DataFrame Series ndarray File Folder Literal object".split()
)


def decode(order, data, home, function=None, converted=None):
    at, parts = order["size"], []
    for head in order.get("attachments") or ():
        if head.get("path") is not None:
            parts.append(head["path"])
            continue
        parts.append(data[at : at + head["size"]])
        at += head["size"]
    decoder = Decoder(parts, home)
    form = json.loads(data[: order["size"]] or b"{}")
    arguments = {k: decoder.value(v) for k, v in form.items()}
    converts = order.get("converts") or {}
    for name, declared_type in (order.get("types") or {}).items():
        # What came from outside is plain where only Python knows the class: what nodes gave is rebuilt already, and fits.
        plain = not KNOWN.issuperset(WORDS.findall(declared_type)) and not converts.get(name)
        if name not in arguments or not (plain or name in converts):
            continue
        namespace, annotations = of_function(function)
        shape = shape_of(annotations.get(name, declared_type), namespace)
        if plain:
            arguments[name] = fit(arguments[name], shape, "argument `%s`" % name)
        if name in converts:
            begun = time.perf_counter()
            arguments[name] = qflow_convert.argument(name, arguments[name], shape, declared_type, converts[name])
            converted[name] = (time.perf_counter() - begun) * 1e3
    return arguments
