from datetime import timedelta
from pathlib import Path
from typing import Any, Callable, ContextManager, Dict, Generic, Iterable, List, Optional, Sequence, TypeVar, Union, overload
from typing_extensions import Concatenate, ParamSpec

P = ParamSpec("P")
A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
Duration = Union[str, int, float, timedelta]

class Abort(Exception): ...

class Retry(Exception):
    after_ms: Optional[int]
    def __init__(self, message: str = ..., after: Optional[Duration] = ...) -> None: ...

class Cancelled(BaseException): ...
class Secret: ...

@overload
def node(fn: F) -> F: ...
@overload
def node(
    *,
    python: str = ...,
    requirements: Sequence[str] = ...,
    inherit: bool = ...,
    retries: int = ...,
    backoff: Duration = ...,
    retry_on: Sequence[Union[str, type]] = ...,
    timeout: Duration = ...,
    memory: Union[str, int] = ...,
    cpus: float = ...,
    pids: int = ...,
    tmp: Union[str, int] = ...,
    network: bool = ...,
    env: Dict[str, Any] = ...,
    secrets: Sequence[str] = ...,
    pool: str = ...,
    max_parallel: int = ...,
    cache: Union[bool, Duration] = ...,
    convert: bool = ...,
    idempotent: bool = ...,
    isolation: str = ...,
) -> Callable[[F], F]: ...
@overload
def workflow(fn: F) -> F: ...
@overload
def workflow(
    *,
    name: str = ...,
    max_parallel: int = ...,
    timeout: Duration = ...,
    schedule: cron = ...,
    isolation: str = ...,
    on_failure: str = ...,
    notify: Any = ...,
) -> Callable[[F], F]: ...
def map(fn: Callable[Concatenate[A, P], R], xs: Iterable[A], *args: P.args, **kwargs: P.kwargs) -> List[R]: ...

class OutcomeError:
    type: str
    message: str
    status: str
    attempts: int

class Outcome(Generic[R]):
    ok: bool
    value: Optional[R]
    error: Optional[OutcomeError]

def settled(fn: Callable[P, R]) -> Callable[P, Outcome[R]]: ...
def sleep(duration: Duration) -> None: ...
def approval(name: str, timeout: Optional[Duration] = ...) -> bool: ...
def progress(done: float, total: Optional[float] = ...) -> None: ...
def span(name: str, **attributes: Any) -> ContextManager[None]: ...
def log(message: str, **fields: Any) -> None: ...
def secret(name: str) -> str: ...

class Current:
    run_id: str
    workflow: str
    node_id: str
    index: Optional[int]
    attempt: int
    key: str
    trace_id: str
    scheduled_for: Optional[str]
    deadline: Optional[str]

def current() -> Current: ...

class File(Path): ...
class Folder(Path): ...
class Pickle(Generic[T]): ...

class cron:
    expression: str
    tz: str
    into: Optional[str]
    catch_up: str
    def __init__(self, expression: str, tz: str = ..., into: Optional[str] = ..., catch_up: str = ...) -> None: ...
