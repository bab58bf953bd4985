"""A server's double for tests of the client: answers by script, keeps what it was asked."""

import http.server
import json
import threading


class Reply:
    """An answer. `pieces` go one by one; where it `breaks`, the connection ends in the middle of it."""

    def __init__(self, status=200, body=b"", headers=None, pieces=None, breaks=False, hold=None):
        self.status, self.headers, self.breaks, self.hold = status, dict(headers or {}), breaks, hold
        self.pieces = pieces
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()


def problem(status, code, detail="no", **more):
    told = dict({"type": "about:blank", "status": status, "code": code, "detail": detail}, **more.pop("told", {}))
    return Reply(status, told, dict({"Content-Type": "application/problem+json"}, **more))


def events(*told, **more):
    """Server-sent events, each a name, an id and its data."""
    pieces = [b": alive\n\n"]
    pieces += [("event: %s\nid: %s\ndata: %s\n\n" % (name, ident, json.dumps(data))).encode() for name, ident, data in told]
    return Reply(headers={"Content-Type": "text/event-stream"}, pieces=pieces, **more)


class Asked:
    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body

    def json(self):
        return json.loads(self.body)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.taken()
        asked = Asked(self.command, self.path, dict(self.headers), body)
        reply = self.server.double.reply(asked)
        if reply is None:  # not a word
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.pieces is None:
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) // 2] if reply.breaks else reply.body)
        else:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in reply.pieces:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if reply.hold is not None:
                reply.hold.wait()
            if not reply.breaks:
                self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def taken(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while True:
            size = int(self.rfile.readline(), 16)
            body += self.rfile.read(size)
            self.rfile.readline()
            if not size:
                return body

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


class Double:
    """Listens while it is entered. `script` has replies by `METHOD PATH` without the query: the last one stays."""

    def __init__(self):
        self.script, self.asked, self.lock = {}, [], threading.Lock()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.double = self
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]

    def on(self, route, *replies):
        method, path = route.split(" ")
        self.script[method, "/api/v1" + path] = list(replies)

    def reply(self, asked):
        with self.lock:
            self.asked.append(asked)
            replies = self.script.get((asked.method, asked.path.partition("?")[0]))
            if replies is None:
                return problem(404, "not_found", "nothing at %s %s" % (asked.method, asked.path))
            return replies.pop(0) if len(replies) > 1 else replies[0]

    def told(self):
        """What was asked, as `METHOD PATH`."""
        return ["%s %s" % (asked.method, asked.path[len("/api/v1") :]) for asked in self.asked]

    def __enter__(self):
        # It looks often whether it is to end: tests are many.
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
