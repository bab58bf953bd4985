# /// script
# dependencies = ["pandas", "pyarrow", "pandera[pandas]"]
# ///
"""Frames and arrays that say what they hold."""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pa
from pandera.typing import DataFrame, Series
from qflow import node, workflow


class Sale(pa.DataFrameModel):  # type: ignore[misc]
    day: Series[pd.Timestamp]
    amount: Series[float] = pa.Field(ge=0)
    region: Series[pd.CategoricalDtype]


class Amount(TypedDict):
    amount: float


def made(rows: int) -> pd.DataFrame:
    frame = pd.DataFrame({"day": pd.date_range("2026-11-24", periods=rows), "amount": np.arange(rows) * 1.5, "region": ["n", "s"] * (rows // 2)})
    return frame.assign(region=frame["region"].astype("category")).set_index(pd.RangeIndex(5, rows + 5, name="number"))


@node
def sales(rows: int) -> DataFrame[Sale]:
    return Sale.validate(made(rows))


@node
def amounts(frame: "pd.DataFrame[Amount]") -> pd.Series[float]:
    return frame["amount"]


@node
def matrix(series: pd.Series[float]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return series.to_numpy().reshape(-1, 2)


@node
def total(array: npt.NDArray[np.floating], frame: DataFrame[Sale]) -> str:
    return f"{array.sum()} {array.shape} {dict(frame.dtypes.astype(str))} {frame.index.name}"


@workflow
def main(rows: int = 40_000) -> str:
    frame = sales(rows)
    return total(matrix(amounts(frame)), frame)


@node
def texts(rows: int) -> DataFrame[Sale]:
    return made(rows).assign(amount="much")


@workflow
def wrong_column(rows: int = 2) -> Any:
    return texts(rows)


@node
def short(rows: int) -> npt.NDArray[np.int16]:
    return np.arange(rows)


@workflow
def wrong_array(rows: int = 40_000) -> Any:
    return short(rows)


@node
def bare(rows: int) -> pd.DataFrame:
    return made(rows).drop(columns="amount")


@workflow
def wrong_argument(rows: int = 40_000) -> Any:
    return amounts(bare(rows))


@node
def anything(rows: int) -> Any:
    return [{"amount": "7"}] * rows


@node
def added(rows: list[Amount]) -> float:
    return sum(row["amount"] for row in rows)


@workflow
def wrong_value(rows: int = 2) -> float:
    return added(anything(rows))
