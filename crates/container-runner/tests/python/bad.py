import ctypes, os, signal, subprocess, sys, time

def prints() -> int:
    line = "x" * 99
    for _ in range(10_000):
        print("\n".join([line] * 100))
    return 1

def pours() -> int:
    block = (b"y" * 99 + b"\n") * 1000
    for _ in range(1000):
        rest = memoryview(block)
        while rest:
            rest = rest[os.write(1, rest):]
    return 1

def opaque() -> dict:
    return {"rows": [1, open("/dev/null")]}

def eats() -> int:
    return len(bytearray(b"x" * (1 << 30)))

def bomb() -> int:
    while True:
        try:
            os.fork()
        except OSError:
            pass

def scatters() -> int:
    for _ in range(20):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    return 1

def deaf() -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf", flush=True)
    while True:
        time.sleep(600)

def garbage() -> int:
    for fd in range(3, 256):
        try:
            os.write(fd, b"\xff" * 64)
        except OSError:
            pass
    time.sleep(600)
    return 1

def closes() -> int:
    os.closerange(0, 256)
    return 1

def quits() -> int:
    os._exit(3)

def leaves() -> int:
    sys.exit("enough")

def orphans() -> int:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)
    return 1

def crashes() -> int:
    ctypes.string_at(0)
    return 1

def wrong() -> list[int]:
    return [1, 2, "three"]

def huge() -> str:
    return "x" * (10 << 20)

def strange() -> str:
    os.write(1, b"\xff\xfe bytes\n")
    print("\u202ereversed \x1b[31m \ud800 \x00 end")
    raise ValueError("\udc80 ünïcode \u202e")

def ünïcode() -> str:
    return "\ud800"

def chatters() -> int:
    import qflow
    for i in range(100_000):
        qflow.progress(i, 100_000)
        with qflow.span("again"):
            pass
    return 1

def fills() -> int:
    folder = os.path.join(os.environ["TMPDIR"], "deep")
    os.mkdir(folder)
    with open(os.path.join(folder, "left"), "w") as out:
        out.write("behind")
    os.chmod(folder, 0)
    return 1

def spared() -> list[str]:
    return os.listdir(os.environ["TMPDIR"]) + [n for n in os.listdir(os.path.dirname(os.environ["TMPDIR"])) if n.startswith("run-")][1:]
