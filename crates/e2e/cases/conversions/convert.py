"""Values that are not of the type that takes them: converted, or refused with their path."""

import enum
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple, TypedDict
from uuid import UUID

from qflow import Outcome, map, node, settled, workflow


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Row(TypedDict):
    day: date
    amount: int


@dataclass
class Order:
    rows: List[Row]
    colour: Colour = Colour.RED
    note: Optional[str] = None


@node
def days(first: date) -> List[date]:
    return [first, first + timedelta(days=1)]


@node
def pair(day: date) -> Tuple[date, Decimal]:
    return day, Decimal("1.50")


@node
def text(day: str, more: Tuple[str, ...] = ()) -> str:
    return " ".join((day, *more))


@node
def parts(values: List[str]) -> List[str]:
    return values + [type(values).__name__]


@node
def moment(at: datetime) -> str:
    return repr(at)


# Nothing of this may fail.
@workflow
def sure(first: date = date(2026, 11, 24)) -> Dict[str, Any]:
    all_days = days(first)
    return {
        "texts": map(text, all_days, more=all_days),  # type: ignore[call-overload]
        "list": parts(pair(first)),  # type: ignore[arg-type]
        "moment": moment(first),  # type: ignore[arg-type]
        "literal": text("x", more=["y"]),  # type: ignore[arg-type]
    }


@node
def raw(amount: str = "3") -> List[Dict[str, str]]:
    return [{"day": "2026-11-24", "amount": "1"}, {"day": "2026-11-25", "amount": amount}]


@node
def description(amount: str) -> Dict[str, Any]:
    return {"rows": [{"day": "2026-11-24", "amount": amount}], "colour": "BLUE"}


@node
def words(amount: str) -> List[str]:
    return ["1", amount]


@node
def some(amount: str) -> Optional[str]:
    return amount or None


@node(convert=True, retries=2, backoff="10ms")
def total(rows: List[Row]) -> int:
    assert all(type(row["day"]) is date for row in rows)
    return sum(row["amount"] for row in rows)


@node(convert=True)
def place(order: Order) -> str:
    return repr(order)


@node(convert=True)
def double(n: int) -> int:
    return 2 * n


@node(convert=True)
def several(
    numbers: Set[int], flag: bool, maybe: Optional[float], at: datetime, length: timedelta, id: UUID, path: Path, colours: Sequence[Colour]
) -> str:
    return f"{sorted(numbers)} {flag} {maybe} {at} {length} {id} {path.name} {[colour.name for colour in colours]}"


@node
def texts() -> Dict[str, str]:
    return {
        "flag": "yes",
        "at": "2026-11-24T09:30:00Z",
        "length": "1h30m",
        "id": "01234567-89ab-cdef-0123-456789abcdef",
        "path": "a/b.csv",
    }


@node
def names() -> List[str]:
    return ["RED", "b"]


@workflow
def asked(amount: str = "3") -> Dict[str, Any]:
    given = texts()
    return {
        "total": total(raw(amount)),  # type: ignore[arg-type]
        "order": place(description(amount)),  # type: ignore[arg-type]
        "doubled": map(double, words(amount)),  # type: ignore[call-overload]
        "several": several(
            words(amount),  # type: ignore[arg-type]
            given["flag"],  # type: ignore[arg-type]
            some(amount),  # type: ignore[arg-type]
            given["at"],  # type: ignore[arg-type]
            given["length"],  # type: ignore[arg-type]
            given["id"],  # type: ignore[arg-type]
            given["path"],  # type: ignore[arg-type]
            names(),  # type: ignore[arg-type]
        ),
    }


@workflow
def wrong_row(amount: str = "many") -> int:
    return total(raw(amount))  # type: ignore[arg-type]


@workflow
def wrong_order(amount: str = "many") -> str:
    return place(description(amount))  # type: ignore[arg-type]


@workflow
def wrong_elements(amount: str = "many") -> List[Outcome[int]]:
    return map(settled(double), words(amount))  # type: ignore[call-overload,no-any-return]
