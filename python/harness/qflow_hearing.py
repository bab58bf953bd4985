"""What the attempt's process says, on its channel and its pipes: kept in bounds, and passed on to the runner."""

import os
import signal
import time

from qflow_child import LINE_BYTES, LOG_BYTES
from qflow_entry import MESSAGE_CHARS, plain_failure
from qflow_frames import FRAME_BYTES, Protocol

LOG_FLUSH_S = 0.05  # lines wait so long for company
PROGRESS_S = 0.1  # between two words of progress: more nobody reads
SPANS = 1000  # of an attempt's own: more makes a trace unreadable
LINES = 500  # of a message
MOST = 1 << 53  # of whatever is counted
ESCAPED = 12  # bytes of a character past the BMP as JSON escapes it: the longest


def weight_of(line):
    """The most bytes that a line has in a message."""
    fields = line.get("fields") or {}
    return ESCAPED * (len(line["text"]) + sum(len(name) + (len(value) if isinstance(value, str) else 64) for name, value in fields.items()))


def amount(value):
    """A number as the runner takes one: user code may have said it."""
    value = float(value)
    if not 0 <= value <= MOST:
        raise Protocol("%r is no amount" % value)
    return value


class Hearing:
    """The template's part that listens to the attempt. It has `attempt`, `near`, `link`, `close_`, `signal` and `tell_early`."""

    def on_pipe(self, fd):
        """Reads once; False when nothing is there now."""
        if self.link.is_full() and self.attempt.status is None:
            time.sleep(0.001)
            return False
        try:
            data = os.read(fd, 1 << 16)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        name, part = self.attempt.parts[fd]
        now = int(time.time() * 1e6)
        if not data:
            if part:
                self.attempt.line(name, part.decode("utf-8", "replace"), now)
            self.close_(fd)
            self.soon()
            return False
        if self.attempt.bytes > LOG_BYTES:  # a flood: only its lines are counted
            self.attempt.dropped += data.count(b"\n")
            self.attempt.parts[fd] = (name, bytearray() if data.endswith(b"\n") else bytearray(data[-1:]))
            return True
        part += data
        *lines, rest = part.split(b"\n")
        if len(rest) > LINE_BYTES:
            begun, rest = self.attempt.cut(rest)
            lines.append(begun)
        self.attempt.parts[fd] = (name, rest)
        for line in lines:
            self.attempt.line(name, line.decode("utf-8", "replace"), now)
        self.soon()
        return True

    def take_pipes(self, reads=None):
        """Takes what is in the pipes, and says it; False where that is more than so many reads, or the runner is behind."""
        attempt = self.attempt
        for fd in list(attempt.parts):
            left = reads
            while fd in attempt.open and self.on_pipe(fd):
                left = left and left - 1
                if left == 0:
                    return False
        if reads and self.link.is_full():
            return False
        for fd, (name, part) in attempt.parts.items():
            if fd in attempt.open and part:
                attempt.line(name, part.decode("utf-8", "replace"), int(time.time() * 1e6))
        attempt.mark_dropped()
        self.flush_lines()
        return True

    def soon(self):
        if self.attempt.lines and self.attempt.flush_at is None:
            self.attempt.flush_at = time.monotonic() + LOG_FLUSH_S

    def flush_lines(self):
        self.attempt.flush_at = None
        lines, self.attempt.lines = self.attempt.lines, []
        chunk, size = [], 0
        for line in lines:
            weight = weight_of(line)
            if chunk and (size + weight > FRAME_BYTES // 2 or len(chunk) == LINES):
                self.link.say("logs", attempt=self.attempt.id, lines=chunk)
                chunk, size = [], 0
            chunk.append(line)
            size += weight
        if chunk:
            self.link.say("logs", attempt=self.attempt.id, lines=chunk)

    def on_child(self, _mask=None):
        if self.link.is_full() and self.attempt.status is None:
            time.sleep(0.001)
            return False
        try:
            data = self.near.recv(1 << 18)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close_(self.near)
            return False
        try:
            for said, rest in self.attempt.inbox.feed(data):
                self.child_said(said, rest)
        except (Protocol, KeyError, TypeError, ValueError) as error:
            self.attempt.cause = self.attempt.cause or "protocol"
            self.attempt.fault = "on the attempt's channel: %s" % error
            self.close_(self.near)
            self.signal(signal.SIGKILL)
            return False
        if self.attempt.outcome:
            self.tell_early()
        return True

    def child_said(self, said, rest):
        attempt, kind = self.attempt, said["type"]
        if kind == "lines":
            for text in said["lines"]:
                attempt.line(str(said["stream"]), str(text), int(said["at_us"]), said.get("fields"))
            self.soon()
        elif kind == "progress":
            attempt.fraction = float(said["fraction"])
            self.tell_progress()
        elif kind == "span":
            attempt.spans += 1
            if attempt.spans > SPANS:
                return
            names = ("name", "span_id", "parent_id", "start_us", "end_us", "attributes", "error")
            self.link.say("span", attempt=attempt.id, **{n: said[n] for n in names})
        elif kind == "warning":
            attempt.warn(str(said["text"])[:MESSAGE_CHARS])
        elif kind == "took":
            attempt.took, attempt.child_dropped = amount(said["ms"]), int(amount(said["dropped"]))
            attempt.serialized = amount(said["serialized_ms"])
            attempt.converted = {str(name): amount(ms) for name, ms in said["converted_ms"].items()}
            attempt.peak, attempt.cpu = int(amount(said["peak_memory_bytes"])), amount(said["cpu_seconds"])
        elif kind == "failed":
            attempt.error = {k: said["error"][k] for k in plain_failure("", "")}
        elif kind == "content":
            if attempt.outcome:
                raise Protocol("content after the result")
            fields = {name: int(said[name]) for name in ("content", "offset", "size")}
            self.link.stream(rest, attempt=attempt.id, last=bool(said["last"]), **fields)
        elif kind == "result":
            self.take_result(said, rest)
        else:
            raise Protocol("a message of type %r" % kind)

    def tell_progress(self):
        """Passes the latest word on, and not more often than somebody looks."""
        attempt, now = self.attempt, time.monotonic()
        if attempt.fraction is not None and now >= attempt.progress_at:
            self.link.say("progress", attempt=attempt.id, fraction=attempt.fraction)
            attempt.fraction, attempt.progress_at = None, now + PROGRESS_S

    def take_result(self, said, rest):
        """Passes a value on at once: the runner looks at it while the child still leaves."""
        if self.attempt.outcome:
            raise Protocol("a second result")
        self.attempt.outcome = True
        heads, items = said.get("attachments") or [], said.get("items")
        self.link.say("result", [rest], attempt=self.attempt.id, size=said["size"], items=items, answers=said["answers"], attachments=heads)
