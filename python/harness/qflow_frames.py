"""Frames between runner, harness and attempt, as docs/HARNESS.md has them."""

import json
import struct

FRAME_BYTES = 4 << 20  # the grammar's bound on a frame
VALUE_BYTES = 1 << 30  # a referenced value


class Protocol(Exception):
    """A frame outside the grammar."""


def frame(kind, body):
    return b"".join((struct.pack(">Ic", len(body) + 1, kind), body))


def message(**fields):
    return frame(b"J", json.dumps(fields, separators=(",", ":")).encode("utf-8", "surrogatepass"))


def blob(data):
    view = memoryview(data)
    return [frame(b"B", view[i : i + FRAME_BYTES]) for i in range(0, len(view), FRAME_BYTES)]


class Inbox:
    """Cuts received bytes into messages; a message that announces bytes comes together with them."""

    def __init__(self):
        self.buffer, self.waiting, self.left, self.parts = bytearray(), None, 0, bytearray()

    def feed(self, data):
        self.buffer += data
        out, at = [], 0
        while len(self.buffer) - at >= 5:
            (length,) = struct.unpack_from(">I", self.buffer, at)
            if not 1 <= length <= FRAME_BYTES + 1:
                raise Protocol("a frame of %d bytes" % length)
            if len(self.buffer) - at < 4 + length:
                break
            kind, body = self.buffer[at + 4], bytes(memoryview(self.buffer)[at + 5 : at + 4 + length])
            at += 4 + length
            self._take(kind, body, out)
        del self.buffer[:at]
        return out

    def _take(self, kind, body, out):
        if kind == 74:  # J
            if self.left:
                raise Protocol("a message where bytes were announced")
            try:
                said = json.loads(body.decode("utf-8", "surrogatepass"))
                said["type"]
                self.left = int(said.get("size") or 0) + sum(int(a.get("size") or 0) for a in said.get("attachments") or ())
            except (ValueError, KeyError, TypeError, AttributeError):
                raise Protocol("a message that is not a JSON object with a type")
            if not 0 <= self.left <= VALUE_BYTES + (64 << 20):
                raise Protocol("%d bytes announced" % self.left)
            self.waiting, self.parts = said, bytearray()
        elif kind == 66 and self.left:  # B
            self.parts += body
            self.left -= len(body)
            if self.left < 0:
                raise Protocol("more bytes than announced")
        else:
            raise Protocol("a frame of kind %d" % kind)
        if not self.left:
            said, self.waiting = self.waiting, None
            out.append((said, bytes(self.parts)))


def read_frame(sock):
    """One whole J frame, exactly: what follows belongs to the link."""
    head = read_exactly(sock, 5)
    length, kind = struct.unpack(">Ic", head)
    if kind != b"J" or not 1 <= length <= FRAME_BYTES + 1:
        raise Protocol("not a message")
    return read_exactly(sock, length - 1)


def read_exactly(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise Protocol("closed")
        data += part
    return data
