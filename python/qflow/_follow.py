"""A run's changes and lines as they come, over breaks: what is said again is not told again."""

import json
import time
from typing import Any, Dict, Iterator, List, Mapping, Optional, Set, Tuple

from . import _errors
from ._errors import QflowError
from ._wire import IDLE_S, PATIENT_S, Event, Wire, part, read

PATIENCE = 10  # looks in a row that may fail before nobody is waited for: with the pauses between them a minute
FIRST_S = 10.0  # to the first event, which the server sends at once
SILENT = 3  # streams in a row without an event: something between us and the server keeps them, so looks must do
LOOK_S = 5.0  # between two looks then
OVER = ("completed", "failed", "cancelled", "timed_out")

Run = Dict[str, Any]
Attempt = Tuple[str, int]


def changes(wire: Wire, run_id: str, deadline: Optional[float]) -> Iterator[Run]:
    """The run as it is, then as it changes, to its end; past the deadline `TimeoutError`."""
    patience = _Patience(wire, deadline)
    silent = 0
    while True:
        if silent < SILENT:
            silent += 1
            try:
                for event in _events(wire, "/runs/%s/events" % part(run_id), deadline=deadline, first=FIRST_S):
                    run = read(event.data.encode("utf-8"))
                    silent = patience.failed = 0
                    yield run
                    if event.name == "end" or run.get("status") in OVER:
                        return
            except QflowError as error:
                patience.harmless(error)
        # However a stream ended, this tells how the run is.
        try:
            run = wire.call("GET", "/runs/%s" % part(run_id), again=False, timeout=_left(wire, deadline))
        except QflowError as error:
            patience.again(error)
            continue
        if patience.failed:  # the server was away, which says nothing of its streams
            silent = patience.failed = 0
        yield run
        if run.get("status") in OVER:
            return
        patience.pause(LOOK_S if silent >= SILENT else wire.back_off(silent))


def lines(wire: Wire, run_id: str, node: Optional[str]) -> Iterator[Dict[str, Any]]:
    """Lines from the first on, and every further one until the run has ended."""
    patience, heard, quiet = _Patience(wire, None), _Heard(), 0
    headers: Dict[str, str] = {}
    while True:
        broke = None
        try:
            for event in _events(wire, "/runs/%s/logs" % part(run_id), {"node": node, "follow": "true"}, headers):
                line = read(event.data.encode("utf-8"))
                if heard.is_new(line):
                    patience.failed = quiet = 0
                    yield line
                # Who names a line is not told those before it, not even such as were missing.
                headers = {"Last-Event-ID": event.id} if event.id and heard.is_whole(line) else {}
        except QflowError as error:
            patience.harmless(error)
            broke = error
        try:
            over = wire.call("GET", "/runs/%s" % part(run_id), again=False).get("status") in OVER
        except QflowError as error:
            patience.again(error)
            continue
        # The server ends the lines with the run, and where it stops itself. A run may be silent for long.
        if not over:
            quiet += 1
            patience.pause(wire.back_off(quiet))
        elif broke is None:
            return
        else:
            patience.again(broke)


class _Heard:
    """Which lines of each attempt were told. They come in order, but for those that their runner could not hand on at once."""

    def __init__(self) -> None:
        self._next: Dict[Attempt, int] = {}
        self._missing: Dict[Attempt, List[range]] = {}
        self._gaps: Set[Tuple[Attempt, int, str]] = set()

    def is_new(self, line: Mapping[str, Any]) -> bool:
        """Whether to tell a line; it is told then."""
        attempt, sequence = _attempt(line), int(line["sequence"])
        if line.get("stream") == "gap":  # stands for lines that may come later, and has no sequence of its own
            gap = (attempt, sequence, str(line.get("text")))
            is_new = gap not in self._gaps
            self._gaps.add(gap)
            return is_new
        following, missing = self._next.get(attempt, 0), self._missing.setdefault(attempt, [])
        if sequence >= following:
            self._next[attempt] = sequence + 1
            if sequence > following:
                missing.append(range(following, sequence))
            return True
        for at, some in enumerate(missing):
            if sequence in some:
                missing[at : at + 1] = [left for left in (range(some.start, sequence), range(sequence + 1, some.stop)) if left]
                return True
        return False

    def is_whole(self, line: Mapping[str, Any]) -> bool:
        """Whether nothing is missing of a line's attempt so far."""
        return not self._missing.get(_attempt(line))


def _attempt(line: Mapping[str, Any]) -> Attempt:
    return str(line["node_id"]), int(line["attempt"])


def _events(
    wire: Wire,
    path: str,
    query: Optional[Mapping[str, Any]] = None,
    headers: Optional[Mapping[str, str]] = None,
    deadline: Optional[float] = None,
    first: float = IDLE_S,
) -> Iterator[Event]:
    headers = dict(headers or {}, Accept="text/event-stream")
    with wire.open("GET", path, query, headers=headers, timeout=_left(wire, deadline)) as answer:
        if not answer.header("Content-Type").startswith("text/event-stream"):
            raise QflowError("no events come from %s" % wire.url, code="broken")
        for event in answer.events(deadline, first):
            if event.name == "problem":
                raise _errors.of_problem(json.loads(event.data))
            if event.name in ("run", "end", "line"):
                yield event


def _left(wire: Wire, deadline: Optional[float]) -> float:
    """How long an answer may let wait."""
    return wire.timeout if deadline is None else min(wire.timeout, max(0.1, deadline - time.monotonic()))


class _Patience:
    """How often in a row something may fail that is tried again."""

    def __init__(self, wire: Wire, deadline: Optional[float]) -> None:
        self.wire, self.deadline, self.failed = wire, deadline, 0

    def harmless(self, error: QflowError) -> None:
        """Of what only comes later by it."""
        if not error.retryable:
            raise error
        self.late()

    def again(self, error: QflowError) -> None:
        """Waits for the next try; the error where there is none."""
        self.failed += 1
        if not error.retryable or self.failed > PATIENCE:
            raise error
        after = error.retry_after
        self.pause(self.wire.back_off(self.failed) if after is None else min(after, PATIENT_S))

    def pause(self, seconds: float) -> None:
        self.late()
        self.wire.pause(seconds if self.deadline is None else min(seconds, max(0.0, self.deadline - time.monotonic())))
        self.late()

    def late(self) -> None:
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise TimeoutError
