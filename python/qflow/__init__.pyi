"""What type checkers and editors see of the SDK: what they accept is what Qflow checks when a workflow is submitted."""

import builtins
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Callable, ContextManager, Coroutine, Generic, Iterable, List, Literal, Mapping, Optional, Protocol, Sequence, Type
from typing import TypeVar, Union, overload

from typing_extensions import Annotated, Concatenate, ParamSpec, TypeAlias

__all__ = [
    "Abort", "Cancelled", "Current", "File", "Folder", "Outcome", "OutcomeError", "Pickle", "Retry", "approval", "cron", "current",
    "log", "map", "node", "progress", "secret", "settled", "sleep", "span", "workflow",
]  # fmt: skip

_P = ParamSpec("_P")
_A = TypeVar("_A")
_B = TypeVar("_B")
_C = TypeVar("_C")
_R = TypeVar("_R")
_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
_Duration: TypeAlias = Union[str, int, float, timedelta]
_Size: TypeAlias = Union[str, int]

class Abort(Exception): ...

class Retry(Exception):
    after_ms: Optional[int]
    def __init__(self, message: str = ..., after: Optional[_Duration] = ...) -> None: ...

class Cancelled(BaseException): ...

# A call of an `async def` node gives its value: a workflow awaits nothing.
class _Decorated(Protocol):
    @overload
    def __call__(self, fn: Callable[_P, Coroutine[Any, Any, _R]], /) -> Callable[_P, _R]: ...
    @overload
    def __call__(self, fn: Callable[_P, _R], /) -> Callable[_P, _R]: ...

@overload
def node(fn: Callable[_P, Coroutine[Any, Any, _R]], /) -> Callable[_P, _R]: ...
@overload
def node(fn: Callable[_P, _R], /) -> Callable[_P, _R]: ...
@overload
def node(
    *,
    python: str = ...,
    requirements: Sequence[str] = ...,
    inherit: bool = ...,
    retries: int = ...,
    backoff: _Duration = ...,
    retry_on: Sequence[Union[str, Type[BaseException]]] = ...,
    timeout: _Duration = ...,
    memory: _Size = ...,
    cpus: float = ...,
    pids: int = ...,
    tmp: _Size = ...,
    network: bool = ...,
    env: Mapping[str, str] = ...,
    secrets: Sequence[str] = ...,
    pool: str = ...,
    max_parallel: int = ...,
    cache: Union[bool, _Duration] = ...,
    convert: bool = ...,
    idempotent: bool = ...,
    isolation: Literal["run", "node", "shared"] = ...,
) -> _Decorated: ...
@overload
def workflow(fn: Callable[_P, _R], /) -> Callable[_P, _R]: ...
@overload
def workflow(
    *,
    name: str = ...,
    max_parallel: int = ...,
    timeout: _Duration = ...,
    schedule: cron = ...,
    isolation: Literal["run", "node", "shared"] = ...,
    on_failure: Literal["finish", "stop"] = ...,
    notify: Any = ...,
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]: ...

# The first three are the builtin, over a class or over several lists; the last is a loop. Over one list checkers cannot tell a node
# from another function.
@overload
def map(fn: Type[_R], xs: Iterable[Any], /) -> builtins.map[_R]: ...  # type: ignore[overload-overlap]
@overload
def map(fn: Callable[[_A, _B], _R], xs: Iterable[_A], ys: Iterable[_B], /) -> builtins.map[_R]: ...  # type: ignore[overload-overlap]
@overload
def map(  # type: ignore[overload-overlap]
    fn: Callable[[_A, _B, _C], _R], xs: Iterable[_A], ys: Iterable[_B], zs: Iterable[_C], /
) -> builtins.map[_R]: ...
@overload
def map(fn: Callable[Concatenate[_A, _P], _R], xs: Iterable[_A], /, *args: _P.args, **kwargs: _P.kwargs) -> List[_R]: ...

class OutcomeError:
    type: str
    message: str
    status: str
    attempts: int
    def __init__(self, type: str, message: str, status: str = ..., attempts: int = ...) -> None: ...

# An `Outcome[R]` is one of these two, so that `.ok` tells which. mypy narrows by `if outcome.ok`; pyright by `if outcome.ok is True` and
# `if outcome.error is None`, as mypy does too.
class _Completed(Generic[_T_co]):
    ok: Literal[True]
    value: _T_co
    error: None

class _Failed:
    ok: Literal[False]
    value: None
    error: OutcomeError

Outcome: TypeAlias = Union[_Completed[_T], _Failed]

def settled(fn: Callable[_P, _R]) -> Callable[_P, Outcome[_R]]: ...
def sleep(duration: Union[_Duration, datetime]) -> None: ...
def approval(name: str, timeout: Optional[_Duration] = ...) -> bool: ...
@overload
def progress(done: float) -> None: ...
@overload
def progress(done: float, total: float) -> None: ...
def span(name: str, **attributes: Any) -> ContextManager[None]: ...
def log(message: object, **fields: Any) -> None: ...
def secret(name: str) -> str: ...

class Current:
    run_id: str
    workflow: str
    node_id: str
    index: Optional[int]
    attempt: int
    key: str
    scheduled_for: Optional[str]
    deadline: Optional[str]
    trace_id: str
    def __init__(self, fields: Mapping[str, Any]) -> None: ...

def current() -> Current: ...

class File(Path): ...
class Folder(Path): ...

# A value of `Pickle[Model]` is a `Model`.
Pickle: TypeAlias = Annotated[_T, "travels by pickle"]

class cron:
    expression: str
    tz: str
    into: Optional[str]
    catch_up: Literal["last", "all", "none"]
    overlap: Literal["allow", "skip", "queue"]
    jitter: Optional[_Duration]
    def __init__(
        self,
        expression: str,
        tz: str = ...,
        into: Optional[str] = ...,
        catch_up: Literal["last", "all", "none"] = ...,
        overlap: Literal["allow", "skip", "queue"] = ...,
        jitter: Optional[_Duration] = ...,
    ) -> None: ...
