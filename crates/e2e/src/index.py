"""A package index on loopback, until standard input ends; prints its address.

`played-1`, `played-2` and so on are there, each a wheel with one empty module; of `played-broken` all is told and no wheel handed out;
for `played-silent` it fails.
"""

import hashlib
import io
import re
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = re.compile(r"played-(?:\d+|broken|silent)")


def metadata(name):
    return "Metadata-Version: 2.1\nName: %s\nVersion: 1.0\n" % name


def wheel(name):
    """The same bytes each time: a lock has their hash."""
    module, into = name.replace("-", "_"), io.BytesIO()
    info = "%s-1.0.dist-info/" % module
    with zipfile.ZipFile(into, "w") as files:
        for path, text in (
            (module + ".py", ""),
            (info + "METADATA", metadata(name)),
            (info + "WHEEL", "Wheel-Version: 1.0\nGenerator: played\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
            (info + "RECORD", "%s.py,,\n%sMETADATA,,\n%sWHEEL,,\n%sRECORD,,\n" % (module, info, info, info)),
        ):
            files.writestr(zipfile.ZipInfo(path), text)
    return into.getvalue()


def page(name):
    file = "%s-1.0-py3-none-any.whl" % name.replace("-", "_")
    digest = hashlib.sha256(wheel(name)).hexdigest()
    return '<a href="/files/%s/%s#sha256=%s" data-core-metadata="true">%s</a>' % (name, file, digest, file)


class Index(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        kind, _, rest = self.path.strip("/").partition("/")
        name, _, file = rest.partition("/")
        if not NAME.fullmatch(name):
            self.answer(404, b"")
        elif name == "played-silent":
            self.answer(500, b"")
        elif kind == "simple":
            self.answer(200, page(name).encode(), "text/html")
        elif file.endswith(".metadata"):
            self.answer(200, metadata(name).encode())
        elif name == "played-broken":
            self.answer(500, b"")
        else:
            self.answer(200, wheel(name))

    def answer(self, code, body, kind="application/octet-stream"):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("http://127.0.0.1:%d/simple" % server.server_address[1], flush=True)
sys.stdin.read()
