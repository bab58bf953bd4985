# /// script
# dependencies = ["pandas", "pyarrow", "pydantic>=2"]
# ///
"""Rows and models, made of what is plain."""

from typing import Any, Dict, List, TypedDict

import pandas as pd
from pydantic import BaseModel
from qflow import node, workflow


class Row(TypedDict, total=False):
    name: str
    price: float


class Basket(BaseModel):  # type: ignore[misc]
    rows: List[Dict[str, float]]
    size: int


@node
def rows(short: bool) -> List[Row]:
    return [{"name": "a", "price": 1.5}, {"name": "b"} if short else {"name": "b", "price": 2}]


@node
def plain() -> Dict[str, Any]:
    return {"rows": [{"price": "1.5"}], "size": "2"}


@node(convert=True)
def total(df: pd.DataFrame) -> str:
    return f"{list(df.columns)} {df['price'].sum()}"


@node(convert=True)
def basket(basket: Basket) -> str:
    return repr(basket)


@workflow
def main(short: bool = False) -> List[str]:
    return [total(rows(short)), basket(plain())]  # type: ignore[arg-type]


@node
def frame() -> pd.DataFrame:
    return pd.DataFrame({"price": [1.5, 2.0]})


@node
def height(df: pd.DataFrame) -> int:
    return len(df)


@workflow
def is_handed_on() -> int:
    return height(frame())
