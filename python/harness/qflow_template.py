"""The template: imports the user's file once; every attempt is a fork of it, watched from here to its end."""

import array
import base64
import collections
import json
import os
import selectors
import signal
import socket
import struct
import sys
import threading
import time

from qflow_attempt import Attempt, Printed, error_of
from qflow_child import Stream, rehearse
from qflow_entry import Entry, compile_user, failure, import_entry, plain_failure, prepare
from qflow_forks import Forks
from qflow_frames import Protocol
from qflow_hearing import Hearing
from qflow_processes import Counter, descendants, leave, libc, reap_all, wipe

GRACE_S = 5.0  # between SIGTERM and SIGKILL at a time-out
LEAVE_S = 1.0  # for a process to end that has said all
PROCESSORS = os.cpu_count() or 1
MEMORY_BYTES = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
READS = 16  # of each pipe at that time: past it somebody still writes
FIRST_S = 0.02  # after an import: its first attempt comes at once, and may be the only one
REDIAL_S = 0.25  # between two tries to reach the runner
COUNT_S = 0.1  # between two counts of processes, where no cgroup bounds them
PR_SET_CHILD_SUBREAPER = 36
WIPED = [folder for folder in os.environ.get("QFLOW_WIPED", "").split(":") if folder]  # the container's own


class Template(Forks, Hearing):
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
        sys.__stdout__, sys.__stderr__ = self.streams
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
            self.link.redial(self.held())
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
            self.withdraw(said["attempt"])
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
        attempt.secrets = order.pop("secrets", None) or {}  # the attempt's alone
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

    def held(self):
        """The attempt that the runner is to hear more of: at work, or next."""
        if self.attempt is not None and not self.attempt.told:
            return self.attempt.id
        return next((said["attempt"] for said, _ in self.waiting if said["type"] == "attempt"), None)

    def withdraw(self, name):
        """Ends an attempt that waits for the process of the one before it to leave."""
        for waits in list(self.waiting):
            if waits[0]["type"] == "attempt" and waits[0]["attempt"] == name:
                self.waiting.remove(waits)
                attempt = Attempt(waits[0])
                attempt.cause = "cancelled"
                self.tell_end(attempt, 0, 0.0)

    def refuse(self, attempt, text):
        """An attempt that has no process ends like one whose process did."""
        self.attempt, attempt.status, attempt.error = None, 0, plain_failure("exit", text)
        reap_all()
        self.tell_end(attempt, 0, 0.0)

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

    # -- its end

    def signal(self, number):
        try:
            os.kill(self.attempt.pid, number)
            if number == signal.SIGKILL:
                os.killpg(self.attempt.pid, number)
        except OSError:
            pass

    def stop(self, cause, grace_s):
        if self.attempt.cause is None and self.attempt.status is None and not self.attempt.told:
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
        """The child is dead: kills the rest, and says how it ended where that was not told before."""
        attempt = self.attempt
        try:
            os.killpg(attempt.pid, signal.SIGKILL)
        except OSError:
            pass
        attempt.clean = reap_all()
        if not attempt.told:
            while self.near in attempt.open and self.on_child():
                pass
            self.take_pipes()
            self.tell_end(attempt, attempt.usage.ru_maxrss * 1024, attempt.usage.ru_utime + attempt.usage.ru_stime)
        elif not attempt.clean:
            leave(70)  # the container goes with it
        self.close_all()
        self.attempt = None
        self.link.flush()
        if attempt.clean:  # else the container goes
            wipe(self.order["workdir"], (Entry.root,))
            for folder in WIPED:
                wipe(folder, (self.order["workdir"],))
            self.settle_at = time.monotonic()

    def tell_early(self):
        """The child has said all, and does nothing more but leave: the runner need not wait for that. What comes after is nobody's.

        Where it has started something that is still there, its end is waited for: whether that can be ended too is to be told.
        """
        attempt = self.attempt
        if attempt.told or attempt.cause is not None or attempt.status is not None:
            return
        attempt.kill_at = time.monotonic() + LEAVE_S
        if descendants(1) != [attempt.pid] or not self.take_pipes(READS):
            return
        attempt.told = True
        # The process says it of itself: never more than there can be.
        cpu = min(attempt.cpu, (time.monotonic() - attempt.begun) * PROCESSORS)
        self.tell_end(attempt, min(attempt.peak, MEMORY_BYTES), cpu)
        self.close_all()
        attempt.term_at, attempt.count_at, attempt.fraction = None, None, None

    def close_all(self):
        for thing in list(self.attempt.open):
            self.close_(thing)

    def tell_end(self, attempt, peak, cpu):
        status = attempt.status or 0
        code, number = (os.WEXITSTATUS(status), None) if os.WIFEXITED(status) else (None, os.WTERMSIG(status))
        oom = self.oom.read() != self.oom_before
        error = error_of(attempt, code, number, oom)
        if error is None and oom:
            attempt.warn("a child process was killed for lack of memory")
        self.link.say(
            "ended",
            attempt=attempt.id,
            ok=error is None,
            error=error,
            exit_code=code,
            signal=number,
            oom=oom,
            peak_memory_bytes=peak,
            cpu_seconds=cpu,
            throttled_seconds=(self.throttled.read() - self.throttled_before) / (1e6 if self.throttled.v2 else 1e9),
            user_code_ms=attempt.took,
            serialized_ms=attempt.serialized,
            converted_ms=attempt.converted,
            log_lines=attempt.sequence,
            log_lines_dropped=attempt.dropped,
            warnings=attempt.warnings,
            clean=attempt.clean,
        )
