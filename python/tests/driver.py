"""The runner's side of docs/HARNESS.md, for tests."""

import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import shutil

PYTHON = pathlib.Path(__file__).resolve().parents[1]


class Driver:
    """Starts a harness, speaks the frames, keeps what it said."""

    def __init__(self, **env):
        self.home = tempfile.mkdtemp(prefix="qh")
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(self.home + "/s")
        self.server.listen(4)
        self.server.settimeout(20)
        environ = dict(os.environ, QFLOW_SOCKET=self.home + "/s", QFLOW_TOKEN="t0ken", QFLOW_SDK=str(PYTHON), **env)
        self.process = subprocess.Popen([sys.executable, str(PYTHON / "harness" / "qflow_harness.py")], env=environ)
        self.seen, self.count = 0, 0
        self.accept()

    def accept(self):
        self.sock, _ = self.server.accept()
        self.sock.settimeout(20)
        self.hello = self.next()
        self.say(type="welcome", ack=self.seen)

    def say(self, data=b"", **fields):
        body = json.dumps(fields).encode()
        out = struct.pack(">Ic", len(body) + 1, b"J") + body
        for at in range(0, len(data), 4 << 20):
            part = data[at : at + (4 << 20)]
            out += struct.pack(">Ic", len(part) + 1, b"B") + part
        self.sock.sendall(out)

    def exactly(self, size):
        data = bytearray()
        while len(data) < size:
            part = self.sock.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def frame(self):
        length, kind = struct.unpack(">Ic", self.exactly(5))
        return kind, self.exactly(length - 1)

    def next(self):
        kind, body = self.frame()
        assert kind == b"J", kind
        said = json.loads(body.decode())
        left = said.get("size", 0) + sum(a.get("size", 0) for a in said.get("attachments") or ())
        said["bytes"] = b""
        while left > len(said["bytes"]):
            kind, body = self.frame()
            assert kind == b"B", kind
            said["bytes"] += body
        self.seen = max(self.seen, said["seq"])
        return said

    def until(self, type_):
        heard = []
        while not heard or heard[-1]["type"] != type_:
            heard.append(self.next())
            if heard[-1]["type"] == "content":  # taken at once, as the runner does
                self.say(type="ack", seq=self.seen)
        if type_ != "hello":
            self.say(type="ack", seq=self.seen)
        return heard

    def load(self, text, file="flow.py", entry=None, function="f", site=None, **files):
        named = {"file": file, "entry": entry or file, "function": function}
        self.say(type="load", files=dict({file: text}, **files), site=site, env={}, workdir=self.home + "/w", **named)
        self.file = file
        return self.next()

    def begin(self, function, data=b"{}", deadline_ms=None, asks=(), attachments=(), types=None, secrets=None, env=None, **more):
        self.count += 1
        size = len(data) - sum(a.get("size", 0) for a in attachments)
        current = {"run_id": "r", "workflow": "w", "node_id": function, "index": None, "attempt": 1, "key": "k", "trace_id": "1" * 32}
        self.say(
            data, type="attempt", attempt=str(self.count), function=function, file=self.file, types=types or {}, asks=list(asks),
            current=current, traceparent="00-%s-%s-01" % ("1" * 32, "2" * 16), deadline_ms=deadline_ms, secrets=secrets or {}, env=env or {},
            size=size, attachments=list(attachments), **dict(dict(returns="Any", network=False, isolated=True, lock="l", user="u"), **more),
        )  # fmt: skip
        return str(self.count)

    def attempt(self, function, data=None, **options):
        if isinstance(data, dict) or data is None:
            data = json.dumps(data or {}).encode()
        self.begin(function, data, **options)
        return Heard(self.until("ended"))

    def close(self):
        try:
            self.say(type="exit")
        except OSError:
            pass
        try:
            code = self.process.wait(10)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.sock.close()
            self.server.close()
            shutil.rmtree(self.home, ignore_errors=True)
        return code


class Loaded:
    """For test cases: one harness for all of them, with their `flow` loaded."""

    flow = ""

    @classmethod
    def setUpClass(cls):
        cls.driver = Driver()
        assert cls.driver.load(cls.flow)["type"] == "loaded"

    @classmethod
    def tearDownClass(cls):
        assert cls.driver.close() == 0


class Heard:
    """What was said of one attempt."""

    def __init__(self, messages):
        self.messages, self.ended = messages, messages[-1]
        self.error = self.ended["error"]
        results = [m for m in messages if m["type"] == "result"]
        self.result = results[0] if results else None
        self.form = json.loads(self.result["bytes"][: self.result["size"]].split(b"\n")[0].decode()) if results else None
        self.contents = {}
        for piece in (m for m in messages if m["type"] == "content"):
            assert piece["offset"] == len(self.contents.setdefault(piece["content"], b"")), piece
            self.contents[piece["content"]] += piece["bytes"]
        self.lines = [line for m in messages if m["type"] == "logs" for line in m["lines"]]
        self.texts = [line["text"] for line in self.lines]
