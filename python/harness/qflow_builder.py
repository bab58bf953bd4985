"""The builder: locks requirements and installs a lock with uv. One file, stdlib only, Python 3.8+.

    qflow_builder.py lock [--python 3.11] [--index-url URL] < requirements.txt    prints {lock, uv, packages} or {error, kind}
    qflow_builder.py install --target DIR [--python 3.11] [--index-url URL] < lock
"""

import argparse
import base64
import fcntl
import glob
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import zipfile

UV_VERSION = "0.13.9"
UV_PINS = (  # the wheels of PyPI: glibc and musl on x86_64, then on aarch64
    "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
    "2c45530751517d6c3bbc69a19473f6effe47cce047bede01ffd8af7ea7b36b25",
    "ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375",
    "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
)
UV_SECONDS = 600  # a resolution or an installation that takes longer is stuck
FETCH_SECONDS = 60  # without a byte
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
    """The pinned wheel's program, fetched from the index and put beside this file, where the runner keeps it."""
    try:
        wheel = fetch(pinned_url())
        pins = [pin for pin in UV_PINS if pin == hashlib.sha256(wheel).hexdigest()]
        if not pins:
            raise Failed("the wheel of uv %s has a hash that is not pinned" % UV_VERSION, "platform")
        with zipfile.ZipFile(io.BytesIO(wheel)) as files:
            names = [name for name in files.namelist() if name.endswith(".data/scripts/uv")]
            program = files.read(names[0])
    except (OSError, ValueError, LookupError, zipfile.BadZipFile) as failed:
        remedy = "set QFLOW_UV to a uv, QFLOW_INDEX_URL to an index that has it, or QFLOW_CA_BUNDLE to your proxy's certificate"
        raise Failed("no uv here, and uv %s could not be fetched: %s; %s" % (UV_VERSION, tail(str(failed)), remedy), "platform")
    return keep(program)


def keep(program):
    """Writes the program beside this file, else into a folder of its own; whole or not at all."""
    for folder in (lambda: os.path.dirname(os.path.abspath(__file__)), lambda: tempfile.mkdtemp(prefix="qflow-uv-")):
        target = os.path.join(folder(), "uv")
        fresh = "%s.%d" % (target, os.getpid())
        try:
            with open(fresh, "wb") as out:
                out.write(program)
            os.chmod(fresh, 0o755)
            os.rename(fresh, target)
            return target
        except OSError:
            continue
    raise Failed("no folder to write uv into", "platform")


def pinned_url():
    """Where the index has the wheel for this machine (PEP 691, or the older page of links)."""
    index = (os.environ.get("QFLOW_INDEX_URL") or "https://pypi.org/simple").rstrip("/") + "/uv/"
    page = fetch(index, "application/vnd.pypi.simple.v1+json, text/html;q=0.5")
    try:
        links = [found["url"] for found in json.loads(page.decode("utf-8"))["files"]]
    except ValueError:
        links = re.findall(r'href="([^"]+)"', page.decode("utf-8", "replace"))
    libc = "musllinux" if glob.glob("/lib/ld-musl-*") else "manylinux"
    for link in links:
        name = link.split("#")[0].rsplit("/", 1)[-1]
        if name.startswith("uv-%s-" % UV_VERSION) and name.endswith("_%s.whl" % platform.machine()) and libc in name:
            return urllib.parse.urljoin(index, link.split("#")[0])
    raise Failed("%s has no wheel of uv %s for %s" % (tail(index), UV_VERSION, platform.machine()), "platform")


def fetch(url, accept="*/*"):
    """The bytes at an address; a user and password in it go into a header."""
    parts = urllib.parse.urlsplit(url)
    request = urllib.request.Request(
        urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])), headers={"Accept": accept}
    )
    if parts.username:
        pair = "%s:%s" % (urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or ""))
        request.add_header("Authorization", "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii"))
    with urllib.request.urlopen(request, timeout=FETCH_SECONDS) as answer:
        return answer.read()


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
    """Installs a lock into a folder, whole or not at all, and once however many ask for it."""
    text = sys.stdin.read()
    target = os.path.abspath(arguments.target)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target + ".lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # it goes with this process
        if not os.path.isdir(target):
            install_new(text, target, index_of(arguments))
    return {"target": target, "packages": len(re.findall(r"(?m)^[^\s#-]", text))}


def install_new(text, target, index):
    uv, fresh = find_uv(), target + ".new"
    shutil.rmtree(fresh, ignore_errors=True)  # of a builder that was stopped
    command = [uv, "pip", "install", "-q", "--no-config", "--require-hashes", "--no-deps", "--only-binary", ":all:", "--target", fresh]
    checked(command + ["--python", sys.executable, "--link-mode", "copy", "-r", "-"] + index, text)
    os.makedirs(fresh, exist_ok=True)
    os.rename(fresh, target)


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
