"""Processes below this one: counted, forked, ended to the last, and what they leave behind wiped."""

import ctypes
import gc
import os
import re
import shutil
import signal
import socket
import struct
import time
from _signal import SIG_DFL, SIG_IGN
from _signal import signal as on_signal  # without `signal`'s enums: pages that every fork would copy for them

REAP_S = 2.0  # to end what an attempt started; past it the container goes
libc = ctypes.CDLL(None)


class Counter:
    """A number of the cgroup that this process is in, v2 or v1."""

    def __init__(self, controller, v2, v1, pattern):
        self.fd, self.pattern, self.v2 = None, pattern, False
        own = {"": "", controller: ""}
        try:
            with open("/proc/self/cgroup") as lines:
                for line in lines:
                    _, names, path = line.rstrip("\n").split(":", 2)
                    for name in names.split(","):
                        own[name] = path.rstrip("/")
        except OSError:
            pass
        v2, v1 = "/sys/fs/cgroup%s/" + v2, "/sys/fs/cgroup/" + controller + "%s/" + v1
        for path, is_v2 in ((v2 % own[""], True), (v1 % own[controller], False), (v2 % "", True), (v1 % "", False)):
            try:
                self.fd, self.v2 = os.open(path, os.O_RDONLY), is_v2
                break
            except OSError:
                continue

    def read(self):
        if self.fd is None:
            return 0
        try:
            found = re.search(self.pattern, os.pread(self.fd, 4096, 0), re.M)
        except OSError:
            return 0
        return int(found.group(1)) if found else 0


def leave(code):
    """Ends template and zygote, with whatever they started."""
    reap_all(0.5)
    os._exit(code)


def descendants(bound=1 << 20):
    """Processes below this one, orphans included: they come to it, as it is the subreaper. Stops past a bound."""
    found, left = [], [os.getpid()]
    while left and len(found) <= bound:
        pid = left.pop()
        try:
            threads = os.listdir("/proc/%d/task" % pid)
        except OSError:  # it has gone meanwhile
            continue
        for thread in threads:
            try:
                with open("/proc/%d/task/%s/children" % (pid, thread)) as listed:
                    below = [int(child) for child in listed.read().split()]
            except OSError:
                below = []
            found += below
            left += below
    return found


def send_all(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            pass


def reap_all(within=REAP_S):
    """Kills and reaps whatever is below this process; False where something is left."""
    until = time.monotonic() + within
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        if time.monotonic() > until:
            return False
        seen, now = set(), descendants()
        while not seen.issuperset(now) and time.monotonic() < until:  # what is stopped forks no more
            send_all(set(now) - seen, signal.SIGSTOP)
            seen.update(now)
            now = descendants()
        send_all(now, signal.SIGKILL)
        time.sleep(0.001)


def wipe(folder, keep=()):
    """Removes what is in a folder, whatever its mode; nothing where it may not."""
    try:
        entries = [entry.path for entry in os.scandir(folder) if entry.path not in keep]
    except OSError:
        return
    for path in entries:
        try:
            os.unlink(path)
            continue
        except OSError:
            pass
        for parent, folders, _ in os.walk(path):
            for name in [parent] + [os.path.join(parent, f) for f in folders]:
                if not os.path.islink(name):
                    try:
                        os.chmod(name, 0o700)
                    except OSError:
                        pass
        shutil.rmtree(path, ignore_errors=True)


class Fork:
    """A process forked from the template, as the template sees it: the ends of its lines, and its folder."""

    count = 0

    def __init__(self, workdir):
        Fork.count += 1
        self.home = os.path.join(workdir, "run-%d-%d" % (os.getpid(), Fork.count))
        os.mkdir(self.home, 0o700)
        (self.near, self.far), self.out, self.err = socket.socketpair(), os.pipe(), os.pipe()
        self.pid = 0

    def hand(self, word):
        """Tells a waiting process its attempt; False where it is dead."""
        try:
            self.near.sendall(struct.pack(">I", len(word)) + word)
            return True
        except OSError:
            return False

    def close_far(self):
        self.far.close()
        os.close(self.out[1])
        os.close(self.err[1])

    def discard(self):
        """Ends a process that no attempt has come to."""
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except OSError:
            pass
        self.near.close()
        os.close(self.out[0])
        os.close(self.err[0])
        shutil.rmtree(self.home, ignore_errors=True)


def freeze():
    """Before a fork: less to copy, and pages that the child's collector leaves alone."""
    gc.collect()
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    gc.freeze()
