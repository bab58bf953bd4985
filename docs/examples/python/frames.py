# /// script
# dependencies = ["pandas>=2.2", "pyarrow"]
# ///
import pandas as pd
from qflow import File, node, workflow


@node
def load(days: int) -> tuple[pd.DataFrame, dict[str, int]]:
    days_of = pd.date_range("2026-11-24", periods=days)
    frame = pd.DataFrame({"day": days_of, "amount": [1.5 * day for day in range(days)]})
    return frame, {"rows": len(frame)}


@node
def write(frame: pd.DataFrame, told: dict[str, int]) -> File:
    frame.assign(of=told["rows"]).to_parquet("sales.parquet")
    return File("sales.parquet")


@node
def read(parquet: File) -> str:
    frame = pd.read_parquet(parquet)
    return f"{parquet.name}: {frame['amount'].sum()} in {frame['of'].iloc[0]} rows from {frame['day'].iloc[0]:%Y-%m-%d}"


@workflow
def frames(days: int = 4) -> str:
    frame, told = load(days)
    return read(write(frame, told))
