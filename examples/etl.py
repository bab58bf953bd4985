# /// script
# requires-python = ">=3.10"
# dependencies = ["pandas==2.2.3", "pyarrow==18.1.0"]
#
# [tool.qflow.node]
# memory = "1GiB"
# timeout = "5m"
# ///
"""An ETL: the text of a CSV of sales goes in, a parquet file and totals by region come out.

qflow run examples/etl.py -p sales=@examples/data/sales.csv
"""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
from pandas import DataFrame
from qflow import File, node, workflow


@node
def extract(sales: str) -> DataFrame:
    return pd.read_csv(io.StringIO(sales), dtype=str)


@node
def clean(raw: DataFrame) -> DataFrame:
    frame = raw.assign(day=pd.to_datetime(raw["day"]), amount=pd.to_numeric(raw["amount"], errors="coerce"))
    kept = frame.dropna(subset=["amount"]).reset_index(drop=True)
    print(f"kept {len(kept)} of {len(raw)} rows")
    return kept


@node
def by_region(sales: DataFrame) -> dict[str, float]:
    return {str(region): float(amount) for region, amount in sales.groupby("region")["amount"].sum().items()}


@node
def load(sales: DataFrame) -> File:
    path = File("sales.parquet")
    sales.to_parquet(path, index=False)
    return path


@node
def check(parquet: File, totals: dict[str, float]) -> int:
    """Reads what was written, as a consumer would."""
    frame = pd.read_parquet(parquet)
    assert abs(frame["amount"].sum() - sum(totals.values())) < 1e-9, "the file holds other amounts"
    return len(frame)


@workflow
def etl(sales: str) -> dict[str, object]:
    kept = clean(extract(sales))
    totals = by_region(kept)
    parquet = load(kept)
    return {"totals": totals, "rows": check(parquet, totals), "parquet": parquet}


if __name__ == "__main__":
    print(etl(Path("examples/data/sales.csv").read_text()))
