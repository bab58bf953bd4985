"""The builder: locks requirements and installs a lock with uv. One file, stdlib only, Python 3.8+.

    qflow_builder.py lock [--python 3.11] [--index-url URL] < requirements.txt    prints {lock, uv, packages} or {error, kind}
    qflow_builder.py install --target DIR [--python 3.11] [--index-url URL] < lock
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

UV_VERSION = "0.13.9"
UV_PINS = (  # the wheels of PyPI: glibc and musl on x86_64, then on aarch64
    "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
    "2c45530751517d6c3bbc69a19473f6effe47cce047bede01ffd8af7ea7b36b25",
    "ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375",
    "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
)
UV_SECONDS = 600  # a resolution or an installation that takes longer is stuck
ERROR_CHARS = 8 << 10
PLATFORM = re.compile(
    r"(?i)error sending request|failed to fetch|dns error|connection (refused|reset)|timed out|connect error|certificate|offline|"
    r"network|no space left|permission denied|status server error|\b5\d\d\b"
)


class Failed(Exception):
    """What went wrong, and whose it is: `user` or `platform`."""

    def __init__(self, text, kind):
        super().__init__(text)
        self.kind = kind


def find_uv():
    """QFLOW_UV, beside this program, PATH, else the pinned wheel by hash."""
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "uv")
    for found in (os.environ.get("QFLOW_UV"), beside, shutil.which("uv")):
        if found and os.path.isfile(found) and os.access(found, os.X_OK):
            return found
    return bootstrap()


def bootstrap():
    cache = os.environ.get("QFLOW_UV_CACHE") or os.path.join(tempfile.gettempdir(), "qflow-uv-%d" % os.getuid())
    target = os.path.join(cache, UV_VERSION)
    found = os.path.join(target, "bin", "uv")
    if os.path.isfile(found):
        return found
    os.makedirs(cache, mode=0o700, exist_ok=True)
    if os.stat(cache).st_uid != os.getuid():
        raise Failed("%s belongs to somebody else" % cache, "platform")
    fresh = tempfile.mkdtemp(prefix="uv-", dir=cache)
    pins = os.path.join(fresh, "pins.txt")
    with open(pins, "w") as out:
        out.write("uv==%s %s\n" % (UV_VERSION, " ".join("--hash=sha256:" + p for p in UV_PINS)))
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    index = os.environ.get("QFLOW_INDEX_URL")
    command += ["--require-hashes", "--target", os.path.join(fresh, "uv"), "-r", pins] + (["--index-url", index] if index else [])
    done = run(command)
    if done.returncode:
        raise Failed("no uv here, and its pinned wheel did not install: %s" % tail(done.stderr), "platform")
    try:
        os.rename(os.path.join(fresh, "uv"), target)
    except OSError:  # another builder was first
        pass
    shutil.rmtree(fresh, ignore_errors=True)
    return found


def run(command, text=""):
    try:
        return subprocess.run(
            command, input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=UV_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise Failed("%s took longer than %d s" % (os.path.basename(command[0]), UV_SECONDS), "platform")
    except OSError as failed:
        raise Failed("%s: %s" % (command[0], failed), "platform")


def tail(text):
    return re.sub(r"(?<=://)[^/@\s]+@", "", text.strip())[-ERROR_CHARS:]


def checked(command, text):
    done = run(command, text)
    if done.returncode:
        said = tail(done.stderr) or "uv exited with %d" % done.returncode
        raise Failed(said, "platform" if PLATFORM.search(said) else "user")
    return done.stdout


def index_of(arguments):
    index = arguments.index_url or os.environ.get("QFLOW_INDEX_URL")
    return ["--index-url", index] if index else []


def lock(arguments):
    """`requirements.txt` with hashes, wheels only, for the Python that was asked for."""
    requirements = refuse_options(sys.stdin.read())
    uv = find_uv()
    command = [uv, "pip", "compile", "-q", "--no-header", "--no-annotate", "--generate-hashes", "--only-binary", ":all:"]
    # The interpreter that runs is the node's own: its version and platform tags decide.
    python = ["--python-version", arguments.python] if arguments.python else []
    text = checked(command + ["--no-config", "--python", sys.executable, "-"] + python + index_of(arguments), requirements)
    version = run([uv, "--version"]).stdout.split()
    return {"lock": text, "uv": version[1] if len(version) > 1 else "", "packages": len(re.findall(r"(?m)^[^\s#-]", text))}


def refuse_options(text):
    """Requirements come from users: names and bounds only, no options, files or editable installs."""
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("-") or re.match(r"(\.|/|file:)", line) or "@ file:" in line:
            raise Failed("a requirement may not be an option or a local path: %s" % line, "user")
    return text


def install(arguments):
    """Installs a lock into a folder, whole or not at all."""
    text = sys.stdin.read()
    uv, target = find_uv(), os.path.abspath(arguments.target)
    os.makedirs(target, exist_ok=True)
    command = [uv, "pip", "install", "-q", "--no-config", "--require-hashes", "--no-deps", "--only-binary", ":all:", "--target", target]
    checked(command + ["--python", sys.executable, "--link-mode", "copy", "-r", "-"] + index_of(arguments), text)
    return {"target": target, "packages": len(re.findall(r"(?m)^[^\s#-]", text))}


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command")
    commands.required = True
    for name, needs_target in (("lock", False), ("install", True)):
        command = commands.add_parser(name)
        command.add_argument("--python", help="the version to resolve for; default: the interpreter that runs")
        command.add_argument("--index-url", help="the package index; default: QFLOW_INDEX_URL, else PyPI")
        if needs_target:
            command.add_argument("--target", required=True, help="the folder to install into")
    arguments = parser.parse_args(words)
    try:
        answer = {"lock": lock, "install": install}[arguments.command](arguments)
    except Failed as failed:
        answer = {"error": str(failed), "kind": failed.kind}
    print(json.dumps(answer))
    return 1 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(main())
