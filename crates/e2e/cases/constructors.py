"""An edge of each of Python's constructors, and one that does not fit: judged, refused, and so never run."""

from typing import Any, Literal, Union

from qflow import node, workflow


@node
def anything() -> Any:
    return 1


@node
def nothing() -> None:
    return None


@node
def truth() -> bool:
    return True


@node
def real() -> float:
    return 1.5


@node
def raw() -> bytes:
    return b"raw"


@node
def pair() -> tuple[int, str]:
    return 1, "one"


@node
def table() -> dict[str, int]:
    return {"one": 1}


@node
def kinds() -> set[int]:
    return {1}


@node
def either() -> Union[int, str]:
    return 1


@node
def colour() -> Literal["red"]:
    return "red"


@node
def takes(
    of_any: Any,
    of_none: None,
    of_bool: bool,
    of_float: float,
    of_bytes: bytes,
    of_tuple: tuple[int, str],
    of_dict: dict[str, int],
    of_set: set[int],
    of_union: Union[int, str],
    of_literal: Literal["red"],
) -> str:
    return "all"


@node
def counts(number: int) -> int:
    return number


@workflow
def constructors() -> int:
    return counts(takes(anything(), nothing(), truth(), real(), raw(), pair(), table(), kinds(), either(), colour()))  # type: ignore[arg-type]
