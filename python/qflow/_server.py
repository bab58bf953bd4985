"""Which server calls go to, and the token that they show: what is given, what the environment says, the data directory's."""

import contextlib
import json
import os
import pathlib
from typing import Mapping, Optional, Tuple
from urllib.parse import urlsplit

from ._errors import QflowError

START = "start one with `qflow dev`, or give the address of one: Client(\"http://…\") or QFLOW_SERVER"


def find(url: Optional[str], token: Optional[str], environment: Mapping[str, str] = os.environ) -> Tuple[str, Optional[str]]:
    """The address and the token."""
    folder = data_dir(environment)
    running = _running(folder)
    url = url or environment.get("QFLOW_SERVER") or running
    if not url:
        raise QflowError("no server runs on %s: %s" % (folder, START), code="unreachable")
    url = (url if "://" in url else "http://" + url).rstrip("/")
    return url, token or _token(environment) or (_read(folder / "token") if _is_own(url, running) else None)


def data_dir(environment: Mapping[str, str]) -> pathlib.Path:
    """As set, else `$XDG_DATA_HOME/qflow`, else `~/.local/share/qflow`."""
    if environment.get("QFLOW_DATA_DIR"):
        return pathlib.Path(environment["QFLOW_DATA_DIR"])
    home = environment.get("XDG_DATA_HOME", "")
    return (pathlib.Path(home) if os.path.isabs(home) else pathlib.Path("~/.local/share").expanduser()) / "qflow"


def _token(environment: Mapping[str, str]) -> Optional[str]:
    if environment.get("QFLOW_TOKEN"):
        return environment["QFLOW_TOKEN"].strip()
    path = environment.get("QFLOW_TOKEN_FILE")
    if not path:
        return None
    token = _read(pathlib.Path(path))
    if not token:
        raise QflowError("read the token from %s: it is empty or cannot be read" % path, code="unauthenticated")
    return token


def _read(path: pathlib.Path) -> Optional[str]:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, ValueError):
        return None


def _running(folder: pathlib.Path) -> Optional[str]:
    """The address of the data directory's server, where its process is alive."""
    try:
        told = json.loads((folder / "server.json").read_text(encoding="utf-8"))
        pid, url = int(told["pid"]), str(told["http"]).rstrip("/")
        with contextlib.suppress(PermissionError):  # a process of another user is alive too
            os.kill(pid, 0)
        return url
    except (OSError, OverflowError, ValueError, KeyError, TypeError):
        return None


def _is_own(url: str, running: Optional[str]) -> bool:
    """Whether the data directory's token is for that server: it is shown to no other machine."""
    return url == running or (urlsplit(url).hostname or "") in ("localhost", "127.0.0.1", "::1")
