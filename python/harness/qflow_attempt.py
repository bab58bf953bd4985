"""What the template knows of the attempt that runs, and of what its import printed."""

import signal
import time

from qflow_child import LOG_BYTES, size_of
from qflow_entry import clean, parts_of, plain_failure
from qflow_frames import Inbox

PRINTED_BYTES = 256 << 10  # of lines of an import: they go in one message
WARNINGS = 20  # of an attempt


class Attempt:
    """What the template knows of the attempt that runs."""

    def __init__(self, order):
        self.order, self.id = order, order["attempt"]
        self.inbox, self.parts, self.open = Inbox(), {}, set()
        self.outcome, self.error, self.took, self.serialized, self.converted, self.warnings = False, None, 0.0, 0.0, {}, []
        self.lines, self.sequence, self.bytes, self.dropped, self.child_dropped = [], 0, 0, 0, 0
        self.status, self.usage, self.cause, self.kill_at, self.term_at, self.flush_at = None, None, None, None, None, None
        self.count_at, self.progress_at, self.fraction, self.spans, self.clean = None, 0.0, None, 0, True
        self.peak, self.cpu, self.told, self.begun, self.secrets = 0, 0.0, False, time.monotonic(), {}

    def cut(self, part):
        """Bytes of a line that does not end, in two: what goes now, and what may be the beginning of a secret and stays for the next."""
        secrets = [secret.encode("utf-8", "replace") for secret in parts_of(self.secrets.values())]
        for secret in secrets:
            part = part.replace(secret, b"***")
        goes = len(part) - (len(secrets[0]) - 1 if secrets else 0)
        return part[:goes], part[goes:]

    def line(self, stream, text, at_us, fields=None):
        self.bytes += size_of(text)
        if self.bytes > LOG_BYTES:
            self.dropped += 1
        else:
            self.keep(stream, text, at_us, fields)

    def keep(self, stream, text, at_us, fields=None):
        self.lines.append({"sequence": self.sequence, "at_us": at_us, "stream": stream, "text": text})
        if isinstance(fields, dict):
            self.lines[-1]["fields"] = fields
        self.sequence += 1

    def mark_dropped(self):
        """The last line, where some were dropped before it."""
        self.dropped, self.child_dropped = self.dropped + self.child_dropped, 0
        if self.dropped:
            text = "qflow: %d lines dropped: an attempt keeps %d MiB of what it writes" % (self.dropped, LOG_BYTES >> 20)
            self.keep("log", text, int(time.time() * 1e6))

    def warn(self, text):
        if len(self.warnings) < WARNINGS:
            self.warnings.append(text)


class Printed:
    """Takes what the user's file prints when it is imported: lines of the attempt that it was imported for."""

    def __init__(self):
        self.kept, self.size = [], 0

    def lines(self, stream, lines):
        now = int(time.time() * 1e6)
        for line in lines:
            self.size += size_of(line)
            if self.size <= PRINTED_BYTES:
                self.kept.append({"sequence": len(self.kept), "at_us": now, "stream": stream, "text": clean(line)})


def error_of(attempt, code, number, oom):
    """Why an attempt failed, by all that is known of it; None where it did not."""
    if attempt.cause == "protocol":
        return plain_failure("protocol", attempt.fault)
    if attempt.cause == "pids":
        return plain_failure("pids", "started more than %d processes" % attempt.order["pids"])
    if attempt.cause == "timeout":
        limit = attempt.order["deadline_ms"] / 1e3
        return dict(attempt.error or plain_failure("", ""), error_type="timeout", message="exceeded its time-out of %g s" % limit)
    if attempt.cause == "cancelled":
        return dict(attempt.error or plain_failure("", ""), error_type="cancelled", message="cancelled")
    if attempt.outcome:
        return None
    if attempt.error is not None:
        return attempt.error
    if oom and number == signal.SIGKILL:
        return plain_failure("oom", "killed for lack of memory")
    how = "exited with code %s" % code if number is None else "was killed by %s" % signal.Signals(number).name
    return plain_failure("exit", "the process %s before it returned" % how)
