"""Runs workflows on a Qflow server from Python: `Client().run("sales.py", day="2026-11-23")`. Needs nothing but Python."""

import contextlib
import logging
import os
import pathlib
import time
import uuid
from typing import Any, Dict, Iterable, Iterator, Mapping, Optional, Tuple, Union

from . import File, Folder, _contents, _follow, _server, _sources
from ._contents import Content
from ._errors import QflowError, RunFailed
from ._plain import plain
from ._wire import Answer, Wire, part, read

__all__ = ["Client", "QflowError", "RunFailed"]

STARTING_S = 330.0  # until a start is answered: environments are resolved and content is copied for it
_log = logging.getLogger("qflow.client")

PathLike = Union[str, "os.PathLike[str]"]
Object = Dict[str, Any]


class Client:
    """Calls of one server.

    Where no address is given it is `QFLOW_SERVER`, else that of the server which runs on this user's data directory; the token is
    `QFLOW_TOKEN`, the text of the file `QFLOW_TOKEN_FILE`, else the data directory's for a server of this machine. `ca` is a file of
    certificates to trust, `timeout` how many seconds an answer may let wait. May be used by several threads.

    Calls raise `QflowError`. What can be asked twice is tried again where the server is busy or away for a moment.
    """

    def __init__(
        self, url: Optional[str] = None, token: Optional[str] = None, *, ca: Optional[PathLike] = None, timeout: float = 60.0
    ) -> None:
        url, token = _server.find(url, token)
        self._wire = Wire(url, token, None if ca is None else os.fspath(ca), timeout)
        self.url = url

    def __repr__(self) -> str:
        return "Client(%r)" % self.url

    def run(self, file: PathLike, /, workflow: str = "", **parameters: Any) -> Any:
        """Runs a workflow of a file to its end; its result in the plain form, or `RunFailed`.

        Without a name it is the only workflow that no other calls. An interrupt cancels the run. A parameter that is called `workflow`
        goes by `start` and `wait`.
        """
        run_id: str = self.start(file, workflow, parameters)["run_id"]
        try:
            run = self.wait(run_id)
        except KeyboardInterrupt:
            with contextlib.suppress(QflowError):
                self.cancel(run_id)
            raise
        if run["status"] != "completed":
            raise RunFailed(run)
        # One that is too large to be shown with the run says so.
        return self.result(run_id) if run["result"] is None and run.get("reason") else run["result"]

    def start(
        self,
        file: PathLike,
        workflow: str = "",
        parameters: Optional[Mapping[str, Any]] = None,
        *,
        idempotency_key: Optional[str] = None,
        no_cache: bool = False,
        relock: bool = False,
        trace: str = "",
    ) -> Object:
        """Starts a run; `run_id`, `trace_id`, `created` and `warnings`. The run is durable once this returns.

        With an `idempotency_key` that was given within 24 hours it is the run of then, `created` false. `no_cache` makes outputs anew,
        `relock` environments; `trace` is `always` or `never`.
        """
        source = _sources.collect(file)
        given, contents = _given(parameters or {})
        body = {
            "source": {"entry": source.entry, "files": source.files},
            "workflow": workflow,
            "parameters": given,
            "uploads": {name: self._upload(content) for name, content in contents.items()},
            "no_cache": no_cache,
            "relock": relock,
            "trace": trace,
        }
        # A start that is tried again is one run.
        key = str(uuid.uuid4()) if idempotency_key is None else idempotency_key
        if not (key.isascii() and key.isprintable() and key.strip()):
            raise ValueError("an idempotency key is printable ASCII, not %r" % key)
        timeout = max(self._wire.timeout, STARTING_S)
        started: Object = self._wire.call("POST", "/runs", body=body, headers={"Idempotency-Key": key}, timeout=timeout)
        told = ["%s" % QflowError("", problems=[warning]) for warning in started["warnings"]]
        for warning in source.warnings + [text.strip() for text in told]:
            _log.warning("%s", warning)
        return started

    def get(self, run_id: str) -> Object:
        """A run with its nodes, and its result where it has one."""
        run: Object = self._wire.call("GET", _path(run_id))
        return run

    def watch(self, run_id: str, timeout: Optional[float] = None) -> Iterator[Object]:
        """The run as it is, then as it changes, to its end; of a change `nodes` may have those that changed only."""
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            yield from _follow.changes(self._wire, run_id, deadline)
        except TimeoutError:
            raise TimeoutError("run %s has not ended within %g s; it goes on" % (run_id, timeout or 0.0)) from None

    def wait(self, run_id: str, timeout: Optional[float] = None) -> Object:
        """Waits for a run's end, however it ends; after so many seconds `TimeoutError`, and the run goes on."""
        for _ in self.watch(run_id, timeout):
            pass
        return self.get(run_id)

    def runs(self, workflow: Optional[str] = None, status: Optional[str] = None) -> Iterator[Object]:
        """Runs, newest first, without their nodes and results; asked for page by page as they are taken."""
        query = {"workflow": workflow, "status": status, "cursor": None}
        while True:
            page = self._wire.call("GET", "/runs", query)
            yield from page["runs"]
            query["cursor"] = page["next"]
            if not page["next"]:
                return

    def cancel(self, run_id: str) -> Object:
        """Ends a run; the run as it is then."""
        return self._act(run_id, "cancel")

    def pause(self, run_id: str) -> Object:
        """Starts nothing more of a run until it is resumed; what runs goes on."""
        return self._act(run_id, "pause")

    def resume(self, run_id: str, retry: Iterable[str] = (), fail: Iterable[str] = ()) -> Object:
        """Has a paused run go on; of the nodes that need attention these are tried again, and those fail."""
        return self._act(run_id, "resume", {"retry": list(retry), "fail": list(fail)}, again=False)

    def retry(self, run_id: str) -> Object:
        """Runs a run that ended badly again from its failed nodes."""
        return self._act(run_id, "retry", again=False)

    def approve(self, run_id: str, approved: bool = True, *, node: str = "", comment: str = "") -> Object:
        """Answers an approval that a run waits for: the node's, or the only one."""
        return self._act(run_id, "approve", {"approved": approved, "node": node, "comment": comment})

    def logs(self, run_id: str, node: Optional[str] = None, *, follow: bool = False) -> Iterator[Object]:
        """Lines that a run wrote so far, or with `follow` every further one to its end, each once.

        A line has `node_id`, `attempt`, `sequence`, `at`, `stream`, `text`, and `fields` where it is one of `qflow.log`. One of the stream
        `gap` stands for lines that are missing, of which some may come later.
        """
        if follow:
            return _follow.lines(self._wire, run_id, node)
        return iter(self._wire.call("GET", _path(run_id) + "/logs", {"node": node})["lines"])

    def result(self, run_id: str, node: Optional[str] = None) -> Any:
        """What a run or a node of it returned, in the plain form.

        Content is `{"attachment": "file", "index": 0}`, as it is within other things; `download` fetches it.
        """

        def once() -> Any:
            with self._result(run_id, node, None) as answer:
                kind = answer.header("Qflow-Kind")
                return read(answer.whole()) if kind in ("", "json") else {"attachment": kind, "index": 0}

        return self._wire.tried(once)

    def download(
        self, run_id: str, to: PathLike, *, node: Optional[str] = None, content: Optional[int] = None, replace: bool = False
    ) -> pathlib.Path:
        """Fetches what a run or a node returned, or one content of it by the `index` of its attachment, to a path.

        A frame comes as an Arrow IPC stream, an array as `.npy`, a folder as a folder, what is no content as JSON. What is there is not
        written over, but a file with `replace`.
        """
        path = pathlib.Path(to)

        def once() -> pathlib.Path:
            with self._result(run_id, node, content) as answer:
                _contents.save(answer, path, replace)
            return path

        found: pathlib.Path = self._wire.tried(once)
        return found

    def upload(self, path: PathLike) -> Object:
        """Sends a file, or a folder as a tar archive; what `uploads` of `POST /runs` takes for a parameter, within a day."""
        return self._upload(_contents.look(pathlib.Path(path), ""))

    def _upload(self, content: Content) -> Object:
        headers = {"Content-Type": "application/octet-stream"}

        def once() -> Any:
            with self._wire.open("POST", "/uploads", body=content.pieces, headers=headers) as answer:
                return read(answer.whole())

        taken = self._wire.tried(once)
        return {"digest": taken["digest"], "size": taken["size"], "kind": content.kind, "name": content.name}

    def _act(self, run_id: str, what: str, body: Optional[Object] = None, again: bool = True) -> Object:
        run: Object = self._wire.call("POST", "%s/%s" % (_path(run_id), what), body=body, again=again)
        return run

    def _result(self, run_id: str, node: Optional[str], content: Optional[int]) -> Answer:
        return self._wire.open("GET", _path(run_id) + "/result", {"node": node, "content": content})


def _path(run_id: str) -> str:
    return "/runs/" + part(run_id)


def _given(parameters: Mapping[str, Any]) -> Tuple[Object, Dict[str, Content]]:
    """Parameters in the plain form, and those that are content: a `File`, a `Folder`, a path of something that is there."""
    given: Object = {}
    contents: Dict[str, Content] = {}
    for name, value in parameters.items():
        told = "parameter `%s`" % name
        is_content = isinstance(value, (File, Folder)) or (isinstance(value, pathlib.Path) and value.exists())
        if is_content:
            contents[name] = _contents.look(value, told + ": ")
        else:
            given[name] = plain(value, told)
    return given, contents
