# /// script
# dependencies = ["pandas", "pyarrow"]
# ///
"""A large frame from one node to another: 25 columns of numbers, 200 bytes a row."""

from typing import List

import numpy as np
import pandas as pd
from qflow import node, workflow


def made(rows: int) -> pd.DataFrame:
    chance = np.random.default_rng(rows)
    return pd.DataFrame({f"c{at}": chance.random(rows) for at in range(24)} | {"day": pd.Timestamp("2026-11-26") + pd.to_timedelta(np.arange(rows), "s")})


def told(frame: pd.DataFrame) -> str:
    """What no other frame is likely to have: its dtypes, its bytes, and a sum over the hashes of its rows."""
    types = ",".join(sorted({str(dtype) for dtype in frame.dtypes}))
    hashes = pd.util.hash_pandas_object(frame).to_numpy()
    return f"{types} {len(frame)} {int(frame.memory_usage(index=False).sum())} {int(hashes.sum())}"


@node(memory="2GiB")
def make(rows: int) -> pd.DataFrame:
    return made(rows)


@node(memory="2GiB")
def tell(frame: pd.DataFrame) -> str:
    return told(frame)


@node(memory="2GiB")
def expect(rows: int) -> str:
    return told(made(rows))


@workflow
def main(rows: int) -> List[str]:
    return [tell(make(rows)), expect(rows)]
