"""Floors of this machine, in this minute: `floors.py NAME` prints one number.

fork     F: milliseconds from a request over a unix socket to a warm Python that forks, runs a function and tells its result
forks    T: such forks a second, four clients at once
sandbox  Z: the same as F into fresh namespaces, with an overlay as its root and a cgroup, until those are gone again (as root)
sqlite   L: milliseconds of one row committed to SQLite as Qflow's embedded store has it (WAL, synchronous=FULL)
start    P: milliseconds from the start of Qflow's own harness, without a container, to its first word
attempt  H: milliseconds of an attempt in it, 4 ms after the one before: argument, function, result, end
attempts A: attempts a second in two of them at once, one after another in each
work     W: milliseconds from arguments to result of what no attempt can do without, 4 ms after the one before, without a line of Qflow's:
            a warm Python that has the file imported forks; the child has a folder and pipes of its own, reads its arguments, calls, tells the
            result; its parent reads all that it writes, waits for its end and removes the folder
works    V: the same a second, in four of them at once, one after another in each, ends and folders included
"""

import ctypes
import gc
import json
import os
import select
import shutil
import socket
import sqlite3
import sys
import tempfile
import time

ROUNDS = 300
STARTS = 5
PAUSE_S = 0.004  # between two attempts of a chain: the way to the orchestrator and back
NODE = "from qflow import node\n\n@node\ndef each(n: int) -> int:\n    a, b = 0, 1\n    for _ in range(10):\n        a, b = b, a + b\n    return n\n"
CLIENTS = 4
FRESH = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000  # mount, uts, ipc, pid, net


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def median(took):
    return sorted(took)[len(took) // 2]


def answer(sock):
    sock.sendall(json.dumps(fibonacci(10)).encode())


def plain(sock, number):
    answer(sock)


def zygote(sock, child):
    """Forks once for every byte it reads; the child answers."""
    number = 0
    while sock.recv(1):
        number += 1
        if os.fork() == 0:
            child(sock, number)
            os._exit(0)
        _, status = os.wait()
        if status:
            sys.exit("a child failed")


def ask(child, rounds):
    """Milliseconds of each round against a zygote of its own."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        zygote(theirs, child)
        os._exit(0)
    theirs.close()
    took = []
    for _ in range(rounds):
        begun = time.perf_counter()
        ours.sendall(b"x")
        if ours.recv(64) != b"55":
            sys.exit("the zygote's child failed")
        took.append((time.perf_counter() - begun) * 1e3)
    ours.close()
    os.wait()
    return took


def fork():
    return median(ask(plain, ROUNDS))


def forks():
    """One zygote for four clients: it forks for whoever asks, and waits for none of its children."""
    import signal

    pairs = [socket.socketpair() for _ in range(CLIENTS)]
    server = os.fork()
    if server == 0:
        for ours, _ in pairs:
            ours.close()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        open_lines = [theirs for _, theirs in pairs]
        while open_lines:
            for line in select.select(open_lines, [], [])[0]:
                if not line.recv(1):
                    open_lines.remove(line)
                elif os.fork() == 0:
                    answer(line)
                    os._exit(0)
        os._exit(0)
    begun = time.perf_counter()
    clients = []
    for ours, theirs in pairs:
        clients.append(os.fork())
        if clients[-1] == 0:
            for other, served in pairs:
                served.close()
                if other is not ours:
                    other.close()
            for _ in range(ROUNDS):
                ours.sendall(b"x")
                if ours.recv(64) != b"55":
                    os._exit(1)
            os._exit(0)
    for client in clients:
        if os.waitpid(client, 0)[1]:
            sys.exit("a client failed")
    took = time.perf_counter() - begun
    for ours, theirs in pairs:
        ours.close()
        theirs.close()
    os.waitpid(server, 0)
    return CLIENTS * ROUNDS / took


def sandbox():
    if os.geteuid() != 0:
        sys.exit("needs root")
    libc = ctypes.CDLL(None, use_errno=True)
    flat = "/sys/fs/cgroup/cgroup.controllers"
    groups = "/sys/fs/cgroup" if os.path.exists(flat) else "/sys/fs/cgroup/memory"

    def call(name, *arguments):
        if getattr(libc, name)(*arguments) != 0:
            code = ctypes.get_errno()
            raise OSError(code, "%s: %s" % (name, os.strerror(code)))

    def child(sock, number):
        group = os.path.join(groups, "qflow-floor-%d-%d" % (os.getppid(), number))
        os.mkdir(group)
        try:
            call("unshare", FRESH)
            inner = os.fork()
            if inner == 0:
                # Nothing that is mounted from here on is seen outside.
                call("mount", b"none", b"/", None, 0x44000, None)
                call("mount", b"tmpfs", folder, b"tmpfs", 0, None)
                for name in (b"upper", b"work", b"root"):
                    os.mkdir(os.path.join(folder, name))
                layers = b"lowerdir=/usr,upperdir=%s/upper,workdir=%s/work" % (folder, folder)
                call("mount", b"overlay", folder + b"/root", b"overlay", 0, layers)
                os.chroot(folder + b"/root")
                os.chdir("/")
                answer(sock)
                os._exit(0)
            with open(os.path.join(group, "cgroup.procs"), "w") as file:
                file.write(str(inner))
            if os.waitpid(inner, 0)[1]:
                os._exit(1)
        except OSError as error:
            print(error, file=sys.stderr)
            os._exit(1)
        finally:
            os.rmdir(group)

    with tempfile.TemporaryDirectory() as name:
        folder = name.encode()
        return median(ask(child, 60))


def sqlite():
    with tempfile.TemporaryDirectory() as folder:
        database = sqlite3.connect(os.path.join(folder, "floor.db"), isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE floor (id INTEGER PRIMARY KEY, row TEXT)")
        took = []
        for i in range(ROUNDS):
            begun = time.perf_counter()
            database.execute("INSERT INTO floor VALUES (?, ?)", (i, "x" * 200))
            took.append((time.perf_counter() - begun) * 1e3)
        return median(took)


def harness():
    if not os.path.isdir("python/harness"):
        sys.exit("Qflow's harness is not here: run this in the project's folder")
    sys.path.insert(0, "python")
    from tests.driver import Driver

    return Driver()


def start():
    took = []
    for _ in range(STARTS):
        begun = time.perf_counter()
        driver = harness()
        took.append((time.perf_counter() - begun) * 1e3)
        driver.close()
    return median(took)


def attempts_of(driver, pause):
    """Milliseconds of each attempt."""
    took = []
    for n in range(ROUNDS):
        time.sleep(pause)
        begun = time.perf_counter()
        heard = driver.attempt("each", {"n": n})
        took.append((time.perf_counter() - begun) * 1e3)
        if heard.form != n:
            sys.exit("an attempt failed")
    return took


def loaded():
    driver = harness()
    driver.load(NODE, function="each")
    return driver


def attempt():
    driver = loaded()
    took = attempts_of(driver, PAUSE_S)
    driver.close()
    return median(took)


def attempts():
    drivers, clients = [loaded(), loaded()], []
    begun = time.perf_counter()
    for driver in drivers:
        clients.append(os.fork())
        if clients[-1] == 0:
            attempts_of(driver, 0)
            os._exit(0)
    failed = [client for client in clients if os.waitpid(client, 0)[1]]
    took = time.perf_counter() - begun
    for driver in drivers:
        driver.close()
    if failed:
        sys.exit("a client failed")
    return len(drivers) * ROUNDS / took


BARE = "def each(n):\n    a, b = 0, 1\n    for _ in range(10):\n        a, b = b, a + b\n    return n\n"


def call(function, line, folder, pipes):
    """The child: what it prints and what it gives go to its parent by pipes."""
    os.mkdir(folder)
    os.chdir(folder)
    for (_, write), stream in zip(pipes, (1, 2)):
        os.dup2(write, stream)
    value = function(**json.loads(line))
    sys.stdout.flush()
    os.write(pipes[2][1], json.dumps(value).encode() + b"\n")


def hear(sock, reads):
    """Reads what a child writes, to the end of each pipe; the result is told as soon as it is there."""
    open_pipes = list(reads)
    while open_pipes:
        for pipe in select.select(open_pipes, [], [])[0]:
            piece = os.read(pipe, 65536)
            if not piece:
                open_pipes.remove(pipe)
                os.close(pipe)
            elif pipe == reads[2]:
                sock.sendall(piece)


def template(sock, folder):
    """A child for every line of arguments."""
    with open(os.path.join(folder, "bare.py"), "w") as file:
        file.write(BARE)
    sys.path.insert(0, folder)
    import bare

    gc.freeze()
    sock.sendall(b"ready\n")
    for number, line in enumerate(sock.makefile("rb")):
        pipes, own = [os.pipe() for _ in range(3)], os.path.join(folder, str(number))
        child = os.fork()
        if child == 0:
            try:
                call(bare.each, line, own, pipes)
            finally:
                os._exit(0)
        for _, write in pipes:
            os.close(write)
        hear(sock, [read for read, _ in pipes])
        os.waitpid(child, 0)
        shutil.rmtree(own)


class Template:
    """One that has imported its file."""

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        self.ours, theirs = socket.socketpair()
        self.process = os.fork()
        if self.process == 0:
            self.ours.close()
            template(theirs, self.folder)
            os._exit(0)
        theirs.close()
        self.answers = self.ours.makefile("rb")
        if self.answers.readline() != b"ready\n":
            sys.exit("the template failed")

    def calls(self, pause):
        """Milliseconds of each call."""
        took = []
        for n in range(ROUNDS):
            time.sleep(pause)
            begun = time.perf_counter()
            self.ours.sendall(json.dumps({"n": n}).encode() + b"\n")
            if self.answers.readline() != b"%d\n" % n:
                sys.exit("the template's child failed")
            took.append((time.perf_counter() - begun) * 1e3)
        return took

    def close(self):
        """Returns once its last child has ended, and its folder is removed."""
        self.ours.shutdown(socket.SHUT_WR)
        os.waitpid(self.process, 0)
        self.ours.close()
        shutil.rmtree(self.folder)


def work():
    one = Template()
    took = one.calls(PAUSE_S)
    one.close()
    return median(took)


def works():
    templates, clients = [Template() for _ in range(CLIENTS)], []
    begun = time.perf_counter()
    for one in templates:
        clients.append(os.fork())
        if clients[-1] == 0:
            one.calls(0)
            os._exit(0)
    failed = [client for client in clients if os.waitpid(client, 0)[1]]
    for one in templates:
        one.close()
    took = time.perf_counter() - begun
    if failed:
        sys.exit("a client failed")
    return CLIENTS * ROUNDS / took


FLOORS = {
    "fork": fork,
    "forks": forks,
    "sandbox": sandbox,
    "sqlite": sqlite,
    "start": start,
    "attempt": attempt,
    "attempts": attempts,
    "work": work,
    "works": works,
}

if __name__ == "__main__":
    print(FLOORS[sys.argv[1]]())
