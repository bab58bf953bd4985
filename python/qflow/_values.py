"""Types of values that Python has no word for: files that travel, and failures as values."""

import dataclasses
import pathlib
from typing import Any, Generic, Optional, TypeVar

T = TypeVar("T")
_Path = type(pathlib.Path())


class File(_Path):
    """A path whose content travels with the value; the consumer gets a read-only copy."""

    __qflow_kind__ = "file"


class Folder(_Path):
    """A path of a folder whose content travels with the value."""

    __qflow_kind__ = "folder"


class Pickle(Generic[T]):
    """Names a type that travels by pickle between equal environments: `Pickle[Model]`."""

    # As a field of a pydantic model it takes any value: what it is of, only Python knows.
    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        return {"type": "any"}

    @classmethod
    def __get_validators__(cls) -> Any:  # pydantic 1
        yield lambda value: value


@dataclasses.dataclass(frozen=True)
class OutcomeError:
    """Why a settled call failed."""

    type: str
    message: str
    status: str = "failed"
    attempts: int = 1


@dataclasses.dataclass(frozen=True)
class Outcome(Generic[T]):
    """What a settled call gives: a value or an error."""

    ok: bool
    value: Optional[Any] = None
    error: Optional[OutcomeError] = None


for _type in (File, Folder, Pickle, Outcome, OutcomeError):
    _type.__module__ = "qflow"
