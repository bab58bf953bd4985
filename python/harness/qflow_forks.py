"""Processes that attempts run in: forks of the template, one of them ahead of need."""

import marshal
import os
import signal
import struct
import sys
import traceback

from qflow_child import SPARE_BYTES, child, rehearse, settle
from qflow_frames import Protocol, read_exactly
from qflow_link import Link
from qflow_processes import SIG_DFL, Fork, freeze, libc, on_signal

PR_SET_DUMPABLE = 4
ERRORS = sys.__stderr__  # the harness's own: the attempt's goes to its channel


class Forks:
    """The template's part that forks. It has `order`, `link`, `streams`, `select`, and the sockets that a child closes."""

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
            on_signal(signal.SIGCHLD, SIG_DFL)
            on_signal(signal.SIGINT, signal.default_int_handler)
            os.setsid()
            os.dup2(fork.out[1], 1)
            os.dup2(fork.err[1], 2)
            for fd in fork.out + fork.err:
                os.close(fd)
            for sock in (fork.near, self.wake, self.woken, self.link.sock, self.handover):
                if sock is not None:
                    os.close(sock.detach())
            self.select.close()
            for counter in (self.oom, self.throttled):
                if counter.fd is not None:
                    os.close(counter.fd)
            libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
            try:
                score = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
                os.write(score, b"900")
                os.close(score)
            except OSError:
                pass
            settle(fork.home)
            if work is None:
                rehearse()
            order, data = work or self.await_work(fork.far)
            child(fork.far, order, data, self.streams, fork.home, self.fresh)
            code = 0
        except BaseException:  # nothing may run past here in the child
            traceback.print_exc(file=ERRORS)
        finally:
            os._exit(code)

    @staticmethod
    def await_work(far):
        try:
            return marshal.loads(read_exactly(far, struct.unpack(">I", read_exactly(far, 4))[0]))
        except (Protocol, OSError):  # the template has gone
            os._exit(0)
