"""Calls of one server over HTTP: answers read whole or as they come, tried again where that helps and does no harm."""

import http.client
import json
import os
import random
import socket
import ssl
import time
from types import TracebackType
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Type
from urllib.parse import quote, urlencode, urlsplit

from . import _errors, _server
from ._errors import QflowError

ROOT = "/api/v1"
TRIES = 6  # of a call: with the pauses between them half a minute
LONGEST_S = 8.0  # pause between two tries, where the server names none
PATIENT_S = 60.0  # longest that a server may ask us to wait
IDLE_S = 45.0  # without a word on a stream: the server says one each 15 s
ERROR_BYTES = 1 << 20  # of an answer that is an error
PIECE_BYTES = 1 << 16

Body = Callable[[], Iterable[bytes]]


class Event(NamedTuple):
    """A server-sent event."""

    name: str
    id: str
    data: str


class Answer:
    """An answer whose body is still to come."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse, sock: socket.socket) -> None:
        self._connection, self._response, self._socket = connection, response, sock
        length = response.getheader("Content-Length")
        self._left: Optional[int] = int(length) if length and not response.chunked else None
        self.status = response.status

    def __enter__(self) -> "Answer":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], at: Optional[TracebackType]) -> None:
        self._response.close()
        self._connection.close()

    def header(self, name: str) -> str:
        """A header's text; empty where it is not there."""
        return self._response.getheader(name) or ""

    def read(self, most: int = PIECE_BYTES) -> bytes:
        """The next piece; empty past the last. One that breaks off is never taken for the whole."""
        if self._left == 0:
            return b""  # older Pythons would wait for more
        try:
            piece = self._response.read1(most if self._left is None else min(most, self._left))
        except (OSError, http.client.HTTPException) as error:
            raise QflowError("the answer broke off: %s" % (error or type(error).__name__), code="broken") from error
        if self._left is not None:
            self._left -= len(piece)
            if not piece:
                raise QflowError("the answer broke off: %d bytes are missing" % self._left, code="broken")
        return piece

    def whole(self) -> bytes:
        """All that is left of it."""
        return b"".join(iter(self.read, b""))

    def events(self, deadline: Optional[float] = None, first: float = IDLE_S) -> Iterator[Event]:
        """Its events, the first within so many seconds, until it ends or breaks off; past the deadline `TimeoutError`."""
        data: List[str] = []
        name = ident = ""
        for line in self._lines(deadline, first):
            field, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if line and field == "data":
                data.append(value)
            elif field == "event":
                name = value
            elif field == "id":
                ident = value
            elif not line:
                if data:
                    yield Event(name or "message", ident, "\n".join(data))
                name, data = "", []

    def _lines(self, deadline: Optional[float], idle: float) -> Iterator[str]:
        rest = bytearray()
        while True:
            left = IDLE_S if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(min(left, idle))
            try:
                piece = self.read()
            except QflowError:
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError from None
                raise
            if not piece:
                return
            idle = IDLE_S
            rest += piece
            *lines, tail = rest.split(b"\n")
            rest = bytearray(tail)
            for line in lines:
                yield line.rstrip(b"\r").decode("utf-8", "replace")


class Wire:
    """Calls of one server."""

    def __init__(self, url: str, token: Optional[str], ca: Optional[str], timeout: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("%r is no address such as http://127.0.0.1:7400" % url)
        self.url, self.timeout = url, timeout
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path.rstrip("/") + ROOT
        self._headers = {"User-Agent": "qflow-python", "Connection": "close"}
        if token:
            if not (token.isascii() and token.isprintable()):
                raise ValueError("the token holds characters that a token cannot have")
            self._headers["Authorization"] = "Bearer " + token
        for name in ("TRACEPARENT", "TRACESTATE"):
            if os.environ.get(name):
                self._headers[name.lower()] = os.environ[name]
        self._tls = ssl.create_default_context(cafile=ca) if parts.scheme == "https" else None
        # Time and chance: tests hand in their own.
        self.pause: Callable[[float], None] = time.sleep
        self.chance: Callable[[], float] = random.random

    def call(
        self,
        method: str,
        path: str,
        query: Optional[Mapping[str, Any]] = None,
        body: Any = None,
        headers: Optional[Mapping[str, str]] = None,
        again: bool = True,
        timeout: Optional[float] = None,
    ) -> Any:
        """The answer in JSON. `again` says that to ask twice is to ask once."""
        pieces: Optional[Body] = None
        if body is not None:
            text = json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8")
            pieces = [text].copy  # afresh for each try
            headers = dict(headers or {}, **{"Content-Type": "application/json", "Content-Length": str(len(text))})

        def once() -> Any:
            with self.open(method, path, query, pieces, headers, timeout) as answer:
                return read(answer.whole())

        return self.tried(once) if again else once()

    def tried(self, once: Callable[[], Any]) -> Any:
        """Does it, again where that may help: not where nothing is there that could answer."""
        for attempt in range(TRIES):
            try:
                return once()
            except QflowError as error:
                after = error.retry_after
                is_last = attempt == TRIES - 1 or not error.retryable or error.code == "unreachable"
                if is_last or (after is not None and after > PATIENT_S):
                    raise
                self.pause(self.back_off(attempt) if after is None else after)
        raise AssertionError("the last attempt returns or raises")

    def back_off(self, attempt: int) -> float:
        """Seconds before the next try, from 0.25 s doubled each time; up to half of them by chance, so that many do not come at once."""
        longest = min(LONGEST_S, 0.25 * 2.0 ** min(attempt, 10))
        return longest * (0.5 + 0.5 * self.chance())

    def open(
        self,
        method: str,
        path: str,
        query: Optional[Mapping[str, Any]] = None,
        body: Optional[Body] = None,
        headers: Optional[Mapping[str, str]] = None,
        timeout: Optional[float] = None,
    ) -> Answer:
        """The answer, of which the head has come; an error where it is one."""
        timeout = timeout or self.timeout
        connection = self._connection(timeout)
        try:
            answer = self._ask(connection, method, path, query, body, dict(self._headers, **(headers or {})))
        except QflowError:
            connection.close()
            raise
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unreached(error, timeout) from error
        if answer.status < 400:
            return answer
        with answer:
            raise _refused(answer)

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        query: Optional[Mapping[str, Any]],
        body: Optional[Body],
        headers: Dict[str, str],
    ) -> Answer:
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        target = self._path + path + ("?" + urlencode(asked) if asked else "")
        connection.connect()
        sock: socket.socket = connection.sock
        chunked = body is not None and "Content-Length" not in headers
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
        try:
            connection.request(method, target, body() if body is not None else None, headers, encode_chunked=chunked)
        except (BrokenPipeError, ConnectionResetError):
            pass  # one that refuses what comes says so before it has taken all of it
        return Answer(connection, connection.getresponse(), sock)

    def _unreached(self, error: Exception, timeout: float) -> QflowError:
        if isinstance(error, ssl.SSLCertVerificationError):
            told = "%s shows a certificate that is not trusted (%s): give its authority as Client(ca=PATH)"
            return QflowError(told % (self.url, error.verify_message), code="unreachable")
        if isinstance(error, (ConnectionRefusedError, socket.gaierror)):
            return QflowError("nothing answers at %s (%s): %s" % (self.url, error, _server.START), code="unreachable")
        if isinstance(error, socket.timeout):
            return QflowError("no answer from %s within %g s" % (self.url, timeout), code="broken")
        return QflowError("the connection to %s broke: %s" % (self.url, error or type(error).__name__), code="broken")


def read(body: bytes) -> Any:
    """JSON as it came: whole numbers exactly, others as floats."""
    try:
        return json.loads(body)
    except ValueError as error:
        raise QflowError("the server's answer is no JSON (%s): is it Qflow's address?" % error, code="not_json") from error


def part(text: str) -> str:
    """A part of a path, whatever is in it."""
    return quote(text, safe="")


def _refused(answer: Answer) -> QflowError:
    body = b""
    try:
        while len(body) < ERROR_BYTES:
            piece = answer.read()
            if not piece:
                break
            body += piece
    except QflowError:
        pass  # the status alone says enough
    error = _errors.of_answer(answer.status, http.client.responses.get(answer.status, ""), body)
    after = answer.header("Retry-After")
    # A date is not honoured: clocks differ, and the server writes seconds.
    error.retry_after = float(after) if after.isdigit() else None
    return error
