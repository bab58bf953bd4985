"""What goes wrong between a client and its server, and with the runs that it starts."""

import json
from typing import Any, Dict, List, Mapping, Optional

# Answers after which the same call may go well: too many at once, a service that is not there yet, an answer that took too long.
_PASSING = (408, 429, 502, 503, 504)


class QflowError(Exception):
    """A call that was not done.

    `code` is for programs: `invalid_argument`, `not_found`, `unauthenticated`, `permission_denied`, `failed_precondition`,
    `resource_exhausted`, `unavailable`, … as the server says it; `unreachable` where nothing answers, `broken` where an answer broke off,
    `invalid_source`, `invalid_value` and `invalid_content` for what is refused before it is sent. `status` is the answer's in HTTP, 0 where
    there was none; `retry_after` the seconds that it asks to wait.
    """

    def __init__(
        self,
        detail: str,
        code: str = "internal",
        status: int = 0,
        trace_id: str = "",
        problems: Optional[List[Dict[str, Any]]] = None,
        parameters: Optional[List[Dict[str, Any]]] = None,
        retry_after: Optional[float] = None,
    ) -> None:
        super().__init__(detail)
        self.detail, self.code, self.status, self.trace_id = detail, code, status, trace_id
        self.problems, self.parameters = problems or [], parameters or []
        self.retry_after = retry_after

    @property
    def retryable(self) -> bool:
        """Whether the same call may go well later."""
        return self.status in _PASSING or self.code in ("unreachable", "broken", "unavailable")

    def __str__(self) -> str:
        lines = self.detail.splitlines()
        each = [str(parameter.get("message", parameter)) for parameter in self.parameters]
        each += [_problem(problem) for problem in self.problems]
        lines += [one for one in each if one not in lines]  # the detail may have said them
        if self.code == "unauthenticated":
            lines.append("give the server's token: Client(token=…), QFLOW_TOKEN or QFLOW_TOKEN_FILE")
        if self.trace_id:
            lines.append("trace %s" % self.trace_id)
        return "\n".join(lines)


class RunFailed(Exception):
    """A run that did not complete. `status` is failed, cancelled or timed_out; `error` has its node and what that raised."""

    def __init__(self, run: Mapping[str, Any]) -> None:
        super().__init__(run)
        self.run_id, self.trace_id = str(run.get("run_id", "")), str(run.get("trace_id", ""))
        self.status: str = str(run.get("status", ""))
        self.error: Optional[Dict[str, Any]] = run.get("error")

    def __str__(self) -> str:
        head = "run %s %s" % (self.run_id, self.status)
        error = self.error or {}
        if error.get("node_id"):
            head += " in %s" % error["node_id"]
        failure = error.get("failure") or {}
        trace, message = str(failure.get("traceback", "")).rstrip(), str(failure.get("message", "")).strip()
        if trace:
            # A traceback ends with the exception's own message; what else there is to say stands before it.
            told = "" if message in trace else " " + message
            return "%s: %s:%s\n%s" % (head, failure.get("error_type", ""), told, trace)
        return "%s: %s: %s" % (head, failure["error_type"], message) if failure.get("error_type") else head


def of_answer(status: int, reason: str, body: bytes) -> QflowError:
    """What an answer says that is none: problem details, or what something between us and the server wrote."""
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        return QflowError("the server answers %d %s" % (status, reason), code="http_%d" % status, status=status)
    return of_problem(told, status)


def of_problem(told: Mapping[str, Any], status: int = 0) -> QflowError:
    """Problem details as an error."""
    detail = str(told.get("detail") or told.get("title") or "the server answers %d" % status)
    return QflowError(
        detail,
        code=str(told.get("code") or "internal"),
        status=int(told.get("status") or status),
        trace_id=str(told.get("trace_id") or ""),
        problems=list(told.get("problems") or []),
        parameters=list(told.get("parameters") or []),
    )


def _problem(problem: Mapping[str, Any]) -> str:
    """`file:line:column: message: remedy`."""
    place = problem.get("place") or {}
    at = "%s:%s:%s: " % (place.get("file", "?"), place.get("line", "?"), place.get("column", "?")) if place else ""
    remedy = ": %s" % problem["remedy"] if problem.get("remedy") else ""
    return "%s%s%s%s" % (at, "warning: " if problem.get("warning") else "", problem.get("message", ""), remedy)


for _error in (QflowError, RunFailed):
    _error.__module__ = "qflow.client"
