"""The harness: zygote, template and attempt, over the frames of docs/HARNESS.md. Stdlib only, Python 3.8+."""

import array
import base64
import importlib
import json
import os
import resource
import signal
import socket
import struct
import sys
import traceback

from qflow_entry import SDK
from qflow_forks import PR_SET_DUMPABLE
from qflow_frames import read_exactly
from qflow_link import Link, dial
from qflow_processes import freeze, libc
from qflow_template import Template

KILLED = 71  # the exit code that says that the template was killed, in its container by whom else


def zygote():
    Link.token, Link.zygote = os.environ.pop("QFLOW_TOKEN", ""), os.getpid()
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.dont_write_bytecode = True
    sys.path.append(SDK)
    importlib.import_module("qflow")
    sys.path.remove(SDK)
    freeze()
    sock, _ = dial()
    sock.settimeout(None)
    state = {"order": None, "fresh": False, "seq": 0, "unacked": [], "buffer": ""}
    while True:
        state = fork_template(sock, state)
        sock = state.pop("sock")


def fork_template(sock, state):
    """Runs a template until it hands its link back for another load, or ends, and the zygote with it."""
    near, far = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        near.close()
        link = Link(sock, state["seq"], [(seq, base64.b64decode(data)) for seq, data in state["unacked"]])
        if sock is None:
            link.lose()
        template = Template(link, state["order"], far, state["fresh"])
        try:
            link.inbox.feed(base64.b64decode(state["buffer"]))
            template.run()
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        os._exit(70)
    far.close()
    if sock is not None:
        sock.close()  # the template's alone now; it comes back with the template's state
    signal.signal(signal.SIGTERM, lambda *_: (os.kill(pid, signal.SIGKILL), os._exit(143)))
    state = receive_state(near)
    near.close()
    _, status = os.waitpid(pid, 0)
    if state is None:
        os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else KILLED)
    return state


def receive_state(near):
    head, ancillary, _, _ = near.recvmsg(4, socket.CMSG_SPACE(4))
    if len(head) < 4:
        return None
    data = read_exactly(near, struct.unpack(">I", head)[0])
    state, sock = json.loads(data.decode()), None
    for level, kind, body in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds = array.array("i")
            fds.frombytes(body[:4])
            sock = socket.socket(fileno=fds[0])
    state["sock"] = sock
    return state


if __name__ == "__main__":
    zygote()
