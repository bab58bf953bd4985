"""The template: imports the user's file once; every attempt is a fork of it, watched from here to its end."""

import array
import base64
import collections
import json
import marshal
import os
import resource
import selectors
import signal
import socket
import struct
import sys
import threading
import time
import traceback

from qflow_child import LINE_BYTES, LOG_BYTES, SPARE_BYTES, Stream, child, rehearse, settle, size_of
from qflow_entry import MESSAGE_CHARS, Entry, clean, compile_user, failure, import_entry, plain_failure, prepare
from qflow_frames import FRAME_BYTES, Inbox, Protocol, read_exactly
from qflow_link import Link
from qflow_processes import Counter, Fork, descendants, freeze, leave, libc, reap_all, wipe

GRACE_S = 5.0  # between SIGTERM and SIGKILL at a time-out
FIRST_S = 0.02  # after an import: its first attempt comes at once, and may be the only one
REDIAL_S = 0.25  # between two tries to reach the runner
LOG_FLUSH_S = 0.05  # lines wait so long for company
PRINTED_BYTES = 256 << 10  # of lines of an import: they go in one message
COUNT_S = 0.1  # between two counts of processes, where no cgroup bounds them
PROGRESS_S = 0.1  # between two words of progress: more nobody reads
SPANS = 1000  # of an attempt's own: more makes a trace unreadable
WARNINGS = 20  # of an attempt
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36
WIPED = [folder for folder in os.environ.get("QFLOW_WIPED", "").split(":") if folder]  # the container's own


class Attempt:
    """What the template knows of the attempt that runs."""

    def __init__(self, order):
        self.order, self.id = order, order["attempt"]
        self.inbox, self.parts, self.open = Inbox(), {}, set()
        self.outcome, self.error, self.took, self.converted, self.warnings = False, None, 0.0, {}, []
        self.lines, self.sequence, self.bytes, self.dropped, self.child_dropped = [], 0, 0, 0, 0
        self.status, self.usage, self.cause, self.kill_at, self.term_at, self.flush_at = None, None, None, None, None, None
        self.count_at, self.progress_at, self.fraction, self.spans, self.clean = None, 0.0, None, 0, True

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


class Template:
    """Imports the user's file once; every attempt is a fork of this process."""

    def __init__(self, link, order, handover, fresh):
        self.link, self.order, self.handover, self.fresh = link, order, handover, fresh
        self.attempt, self.spare, self.frozen, self.settle_at = None, None, False, None
        self.printed = []
        self.oom = Counter("memory", "memory.events", "memory.oom_control", rb"^oom_kill (\d+)")
        self.throttled = Counter("cpu", "cpu.stat", "cpu.stat", rb"^throttled_(?:usec|time) (\d+)")
        self.redial_at = 0.0
        self.waiting = collections.deque()

    def load(self):
        os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.streams = sys.stdout, sys.stderr = Stream("stdout", 1), Stream("stderr", 2)
        printed = Printed()
        for stream in self.streams:
            stream.channel = printed
        begun = time.perf_counter()
        failed = None
        try:
            prepare(self.order)
            if not self.fresh:
                import_entry()
        except BaseException as error:  # whatever the user's module raises is the node's error
            failed = failure(error)
        for stream in self.streams:
            stream.rest()
            stream.channel = None
        lines = self.printed = printed.kept
        if failed is not None:
            self.link.say("load_failed", file=self.order["file"], error=failed, lines=lines)
        elif not self.fresh:
            threads = threading.active_count() > 1
            lines = [] if threads else lines  # each attempt imports it anew, and says them itself
            self.link.say("loaded", file=self.order["file"], ms=(time.perf_counter() - begun) * 1e3, threads=threads, lines=lines)
            self.link.flush()
            if threads:
                self.hand_over(self.order, True)
        self.failed = failed
        # Last, since the user's module may have set handlers of its own.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.woken.fileno(), warn_on_full_buffer=False)
        self.settle_at = time.monotonic() + FIRST_S

    def hand_over(self, order, fresh):
        """Gives the link back to the zygote, which forks another template for `order`."""
        if self.spare is not None:
            self.spare.discard()
        self.link.flush()
        unacked = [[seq, base64.b64encode(data).decode()] for seq, data in self.link.unacked]
        pending = base64.b64encode(bytes(self.link.inbox.buffer)).decode()
        state = json.dumps({"order": order, "fresh": fresh, "seq": self.link.seq, "unacked": unacked, "buffer": pending}).encode()
        sock = self.link.sock
        if sock is not None:
            fds = array.array("i", [sock.fileno()])
            self.handover.sendmsg([struct.pack(">I", len(state))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        else:
            self.handover.sendmsg([struct.pack(">I", len(state))])
        self.handover.sendall(state)
        os._exit(0)

    # -- the loop

    def run(self):
        self.select = selectors.DefaultSelector()
        wake, woken = socket.socketpair()
        for end in (wake, woken):
            end.setblocking(False)
        self.wake, self.woken = wake, woken
        self.select.register(wake, selectors.EVENT_READ, self.on_wake)
        self.registered, self.link.before_close = None, self.unwatch_link
        if self.order is not None:
            self.load()
        else:  # forked ahead of need
            compile_user(b"import os\n\ndef f(a: int) -> int:\n    return a\n", "rehearsal.py")
            rehearse()
        while True:
            self.link.flush()
            self.watch_link()
            heard = self.select.select(self.patience())
            for key, mask in heard:
                key.data(mask)
            self.on_time(bool(heard))

    def watch_link(self):
        want = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.link.out else 0)
        now = (self.link.sock, want) if self.link.sock is not None else None
        if now == self.registered:
            return
        self.unwatch_link()
        self.registered = now
        if now is not None:
            self.select.register(now[0], want, self.on_runner)

    def unwatch_link(self):
        """Before its socket is closed: a process forked meanwhile may hold it, and then it would stay ready for ever."""
        if self.registered is not None:
            self.select.unregister(self.registered[0])
        self.registered = None

    def patience(self):
        due = []
        if self.link.sock is None:
            due.append(self.redial_at)
        elif self.attempt is None and self.settle_at is not None:
            due.append(self.settle_at)
        if self.attempt is not None:
            attempt = self.attempt
            due += [t for t in (attempt.kill_at, attempt.term_at, attempt.flush_at, attempt.count_at) if t is not None]
            due += [attempt.progress_at] if attempt.fraction is not None else []
        return max(0.0, min(due) - time.monotonic()) if due else None

    def on_time(self, heard):
        now, attempt = time.monotonic(), self.attempt
        if self.link.sock is None and now >= self.redial_at:
            self.watch_link()
            self.link.redial(attempt and attempt.id)
            self.redial_at = now + REDIAL_S
        if attempt is None:
            if self.waiting and self.link.sock is not None:
                self.order_(*self.waiting.popleft())
            elif self.settle_at is not None and now >= self.settle_at and not heard:
                self.settle()
            return
        if attempt.term_at is not None and now >= attempt.term_at:
            attempt.term_at = None
            self.stop("timeout", GRACE_S)
        if attempt.kill_at is not None and now >= attempt.kill_at:
            attempt.kill_at = None
            self.signal(signal.SIGKILL)
        if attempt.flush_at is not None and now >= attempt.flush_at:
            self.flush_lines()
        if attempt.count_at is not None and now >= attempt.count_at:
            attempt.count_at = now + COUNT_S
            if len(descendants(attempt.order["pids"])) > attempt.order["pids"]:
                attempt.count_at = None
                self.stop("pids", 0)
        self.tell_progress()

    # -- the runner's words

    def on_runner(self, mask):
        if mask & selectors.EVENT_WRITE:
            self.link.flush()
        if not mask & selectors.EVENT_READ or self.link.sock is None:
            return
        try:
            data = self.link.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.link.lose()
            return
        try:
            for said, rest in self.link.inbox.feed(data):
                self.order_(said, rest)
        except Protocol:
            leave(70)

    def order_(self, said, data):
        kind = said["type"]
        if kind == "ack":
            self.link.acknowledged(said["seq"])
        elif kind == "kill":
            if self.attempt is not None and self.attempt.id == said["attempt"]:
                self.stop("cancelled", said.get("grace_ms", 5000) / 1e3)
        elif kind == "exit":
            if self.attempt is not None:
                self.signal(signal.SIGKILL)
            leave(0)
        elif self.attempt is not None:
            self.waiting.append((said, data))
        elif kind == "load" and self.order is None:
            self.order = said
            self.load()
        elif kind == "load":
            if said["files"] == self.order["files"] and said["file"] == self.order["file"] and self.failed is None:
                self.link.say("loaded", file=said["file"], ms=0.0, threads=self.fresh)
            else:
                self.hand_over(said, False)
        elif kind == "attempt":
            self.begin(said, data)

    def begin(self, order, data):
        attempt = self.attempt = Attempt(order)
        attempt.sequence, self.printed = len(self.printed), []
        self.oom_before, self.throttled_before = self.oom.read(), self.throttled.read()
        try:
            fork = self.fork_for(order, data)
        except OSError as failed:
            self.refuse(attempt, "no process could be started for it: %s" % failed)
            return
        order.pop("secrets", None)  # the attempt's alone
        attempt.pid, self.near, self.home = fork.pid, fork.near, fork.home
        self.near.setblocking(False)
        for fd, name in ((fork.out[0], "stdout"), (fork.err[0], "stderr")):
            os.set_blocking(fd, False)
            attempt.parts[fd] = (name, bytearray())
            self.open_(fd, lambda _, fd=fd: self.on_pipe(fd))
        self.open_(self.near, self.on_child)
        if order.get("deadline_ms") is not None:
            attempt.term_at = time.monotonic() + order["deadline_ms"] / 1e3
        if order.get("pids") is not None:
            attempt.count_at = time.monotonic() + COUNT_S
        self.link.say("started", attempt=attempt.id)

    def refuse(self, attempt, text):
        """An attempt that has no process ends like one whose process did."""
        self.attempt, attempt.status, attempt.error = None, 0, plain_failure("exit", text)
        attempt.usage = resource.struct_rusage((0,) * 16)
        reap_all()
        self.tell_end(attempt)

    def fork_for(self, order, data):
        """The process that was forked ahead, or a new one where there is none or too much to hand over."""
        spare, self.spare = self.spare, None
        if spare is not None:
            # One that has died is not handed anything, also where its signal is still to be read.
            alive = not os.waitpid(spare.pid, os.WNOHANG)[0]
            if alive and len(data) <= SPARE_BYTES:
                word = marshal.dumps((order, data))
                if len(word) <= 2 * SPARE_BYTES and spare.hand(word):
                    return spare
            spare.discard()
        return self.fork((order, data))

    def settle(self):
        """Readies this process for the next attempt, and forks ahead of it: while nobody asks for one.

        No attempt is at work, so nothing of the user's sees the forked process wait.
        """
        self.settle_at = None
        if not self.frozen:
            self.frozen = True
            freeze()
        if self.failed is None and self.spare is None:
            try:
                self.spare = self.fork(None)
            except OSError:  # no room for it: the attempt itself will say so
                pass

    def fork(self, work):
        fork = Fork(self.order["workdir"])
        fork.pid = os.fork()
        if fork.pid == 0:
            self.become_child(fork, work)
        fork.close_far()
        return fork

    def become_child(self, fork, work):
        code, Link.token = 1, ""
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.setsid()
            os.dup2(fork.out[1], 1)
            os.dup2(fork.err[1], 2)
            for fd in fork.out + fork.err:
                os.close(fd)
            for sock in (fork.near, self.wake, self.woken, self.link.sock, self.handover):
                if sock is not None:
                    sock.close()
            self.select.close()
            for counter in (self.oom, self.throttled):
                if counter.fd is not None:
                    os.close(counter.fd)
            libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
            try:
                with open("/proc/self/oom_score_adj", "w") as score:
                    score.write("900")
            except OSError:
                pass
            settle(fork.home)
            if work is None:
                rehearse()
            order, data = work or self.await_work(fork.far)
            child(fork.far, order, data, self.streams, fork.home, self.fresh)
            code = 0
        except BaseException:  # nothing may run past here in the child
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(code)

    @staticmethod
    def await_work(far):
        try:
            return marshal.loads(read_exactly(far, struct.unpack(">I", read_exactly(far, 4))[0]))
        except (Protocol, OSError):  # the template has gone
            os._exit(0)

    def open_(self, thing, handler):
        attempt = self.attempt

        def handle(mask):
            if self.attempt is attempt and thing in attempt.open:  # else an earlier event of this round ended it
                handler(mask)

        attempt.open.add(thing)
        self.select.register(thing, selectors.EVENT_READ, handle)

    def close_(self, thing):
        if self.attempt is not None and thing in self.attempt.open:
            self.attempt.open.discard(thing)
            self.select.unregister(thing)
            os.close(thing) if isinstance(thing, int) else thing.close()

    # -- the child's words

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
            lines.append(rest)
            rest = bytearray()
        self.attempt.parts[fd] = (name, rest)
        for line in lines:
            self.attempt.line(name, line.decode("utf-8", "replace"), now)
        self.soon()
        return True

    def soon(self):
        if self.attempt.lines and self.attempt.flush_at is None:
            self.attempt.flush_at = time.monotonic() + LOG_FLUSH_S

    def flush_lines(self):
        self.attempt.flush_at = None
        lines, self.attempt.lines = self.attempt.lines, []
        for start in range(0, len(lines), 500):
            chunk = lines[start : start + 500]
            if sum(len(line["text"]) for line in chunk) * 6 < FRAME_BYTES // 2:
                self.link.say("logs", attempt=self.attempt.id, lines=chunk)
                continue
            for line in chunk:
                self.link.say("logs", attempt=self.attempt.id, lines=[line])

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
            attempt.took, attempt.child_dropped = float(said["ms"]), int(said["dropped"])
            attempt.converted = {str(name): float(ms) for name, ms in said["converted_ms"].items()}
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

    # -- its end

    def signal(self, number):
        try:
            os.kill(self.attempt.pid, number)
            if number == signal.SIGKILL:
                os.killpg(self.attempt.pid, number)
        except OSError:
            pass

    def stop(self, cause, grace_s):
        if self.attempt.cause is None and self.attempt.status is None:
            self.attempt.cause, self.attempt.kill_at = cause, time.monotonic() + grace_s
            self.signal(signal.SIGTERM)

    def on_wake(self, _mask):
        try:
            self.wake.recv(4096)
        except BlockingIOError:
            pass
        attempt = self.attempt
        if attempt is None and self.spare is not None and os.waitpid(self.spare.pid, os.WNOHANG)[0]:
            spare, self.spare = self.spare, None
            spare.discard()
        if attempt is None or attempt.status is not None:
            return
        pid, status, usage = os.wait4(attempt.pid, os.WNOHANG)
        if pid:
            attempt.status, attempt.usage = status, usage
            self.finish()

    def finish(self):
        """The child is dead: kills the rest, takes what is left in the pipes, and says how it ended."""
        attempt = self.attempt
        try:
            os.killpg(attempt.pid, signal.SIGKILL)
        except OSError:
            pass
        attempt.clean = reap_all()
        while self.near in attempt.open and self.on_child():
            pass
        for fd in list(attempt.parts):
            while fd in attempt.open and self.on_pipe(fd):
                pass
        for fd, (name, part) in attempt.parts.items():
            if fd in attempt.open and part:
                attempt.line(name, part.decode("utf-8", "replace"), int(time.time() * 1e6))
        for thing in list(attempt.open):
            self.close_(thing)
        attempt.mark_dropped()
        self.flush_lines()
        self.tell_end(attempt)
        self.attempt = None
        self.link.flush()
        if attempt.clean:  # else the container goes
            wipe(self.order["workdir"], (Entry.root,))
            for folder in WIPED:
                wipe(folder, (self.order["workdir"],))
            self.settle_at = time.monotonic()

    def tell_end(self, attempt):
        exited = os.WIFEXITED(attempt.status)
        code = os.WEXITSTATUS(attempt.status) if exited else None
        number = None if exited else os.WTERMSIG(attempt.status)
        oom = self.oom.read() != self.oom_before
        error = self.error_of(attempt, code, number, oom)
        if error is None and oom:
            attempt.warn("a child process was killed for lack of memory")
        usage = attempt.usage
        self.link.say(
            "ended",
            attempt=attempt.id,
            ok=error is None,
            error=error,
            exit_code=code,
            signal=number,
            oom=oom,
            peak_memory_bytes=usage.ru_maxrss * 1024,
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            throttled_seconds=(self.throttled.read() - self.throttled_before) / (1e6 if self.throttled.v2 else 1e9),
            user_code_ms=attempt.took,
            converted_ms=attempt.converted,
            log_lines=attempt.sequence,
            log_lines_dropped=attempt.dropped,
            warnings=attempt.warnings,
            clean=attempt.clean,
        )

    @staticmethod
    def error_of(attempt, code, number, oom):
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
