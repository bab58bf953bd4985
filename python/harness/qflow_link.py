"""The line to the runner: sequence numbers, what is not acknowledged, and redialing."""

import collections
import json
import os
import socket
import sys
import time

from qflow_frames import Inbox, Protocol, blob, message, read_frame
from qflow_processes import leave

OUT_BYTES = 16 << 20  # past it the child is not read until the runner has read
WINDOW_BYTES = 4 << 20  # of content that the runner has not taken yet
ORPHAN_S = 120.0  # without a runner the container is of no use


class Link:
    """The stream to the runner: sequence numbers, what is not acknowledged, and redialing."""

    token, zygote = "", 0  # what a hello shows

    def __init__(self, sock, seq=0, unacked=()):
        self.sock, self.seq, self.unacked = sock, seq, collections.deque(unacked)
        self.out, self.size, self.inbox = collections.deque(), 0, Inbox()
        self.streamed = collections.deque()  # sequence and size of content that is not acknowledged
        self.streaming = 0
        self.lost_at, self.before_close = None, lambda: None
        if sock is not None:
            sock.setblocking(False)

    def say(self, type_, parts=(), **fields):
        self.seq += 1
        frames = [message(type=type_, seq=self.seq, **fields)]
        for part in parts:
            frames.extend(blob(part))
        data = b"".join(frames)
        self.unacked.append((self.seq, data))
        if self.lost_at is None:
            self.queue(data)

    def stream(self, part, **fields):
        """Says a piece of content: not more of it than a window is ever held here."""
        self.say("content", [part], **fields)
        self.streamed.append((self.seq, len(part)))
        self.streaming += len(part)

    def is_full(self):
        """Whether the attempt should not be read for now."""
        return self.size > OUT_BYTES or self.streaming > WINDOW_BYTES

    def queue(self, data):
        self.out.append(memoryview(data))
        self.size += len(data)

    def flush(self):
        while self.out and self.sock is not None:
            try:
                sent = self.sock.send(self.out[0])
            except BlockingIOError:
                return
            except OSError:
                self.lose()
                return
            self.size -= sent
            if sent == len(self.out[0]):
                self.out.popleft()
            else:
                self.out[0] = self.out[0][sent:]

    def acknowledged(self, seq):
        while self.unacked and self.unacked[0][0] <= seq:
            self.unacked.popleft()
        while self.streamed and self.streamed[0][0] <= seq:
            self.streaming -= self.streamed.popleft()[1]

    def lose(self):
        if self.sock is not None:
            self.before_close()
            self.sock.close()
        self.sock, self.lost_at = None, self.lost_at or time.monotonic()
        self.out.clear()
        self.size, self.inbox = 0, Inbox()

    def redial(self, attempt):
        """True once the runner has answered; what it had not acknowledged is sent again, then the attempt that is here."""
        try:
            sock, ack = dial()
        except (OSError, Protocol):
            if time.monotonic() - self.lost_at > ORPHAN_S or not os.path.isdir(os.path.dirname(os.environ["QFLOW_SOCKET"]) or "."):
                leave(0)
            return False
        self.sock, self.lost_at = sock, None
        self.acknowledged(ack)
        for _, data in self.unacked:
            self.queue(data)
        self.say("resumed", attempt=attempt)
        sock.setblocking(False)
        self.flush()
        return True


def dial():
    """Connects, says hello, and waits for the welcome; returns the socket and the runner's last sequence."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(10)
        sock.connect(os.environ["QFLOW_SOCKET"])
        sock.sendall(message(type="hello", seq=0, token=Link.token, python="%d.%d.%d" % sys.version_info[:3], pid=Link.zygote))
        said = json.loads(read_frame(sock).decode())
        if said.get("type") != "welcome":
            raise Protocol("no welcome")
        return sock, int(said.get("ack") or 0)
    except BaseException:
        sock.close()
        raise
