"""A conversion from each kind of type that one starts from, and to each that one ends at."""

from decimal import Decimal
from typing import Any, Dict, List, Literal, Optional, Set, Tuple

from qflow import node, workflow


@node
def text() -> str:
    return "1"


@node
def flag() -> bool:
    return True


@node
def number() -> int:
    return 1


@node
def share() -> float:
    return 1.0


@node
def pair() -> Tuple[str, ...]:
    return ("1", "2")


@node
def several() -> Set[str]:
    return {"1"}


@node
def table() -> Dict[str, int]:
    return {"1": 2}


@node
def maybe() -> Optional[str]:
    return "1"


@node
def word() -> Literal["1"]:
    return "1"


@node(convert=True)
def to_bool(of: bool) -> str:
    return repr(of)


@node(convert=True)
def to_int(of: int) -> str:
    return repr(of)


@node(convert=True)
def to_float(of: float) -> str:
    return repr(of)


@node(convert=True)
def to_set(of: Set[int]) -> str:
    return repr(sorted(of))


@node(convert=True)
def to_dict(of: Dict[int, int]) -> str:
    return repr(of)


@node(convert=True)
def to_union(of: Optional[int]) -> str:
    return repr(of)


@node(convert=True)
def to_literal(of: Literal["1", "2"]) -> str:
    return repr(of)


@node
def to_decimal(of: Decimal) -> str:
    return repr(of)


@workflow
def each() -> List[Any]:
    return [
        to_bool(number()),  # type: ignore[arg-type]
        to_int(share()),  # type: ignore[arg-type]
        to_float(text()),  # type: ignore[arg-type]
        to_set(pair()),  # type: ignore[arg-type]
        to_set(several()),  # type: ignore[arg-type]
        to_dict(table()),  # type: ignore[arg-type]
        to_union(maybe()),  # type: ignore[arg-type]
        to_int(word()),  # type: ignore[arg-type]
        to_literal(text()),  # type: ignore[arg-type]
        to_decimal(flag()),  # type: ignore[arg-type]
    ]
