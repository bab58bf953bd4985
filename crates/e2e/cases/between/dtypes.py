# /// script
# dependencies = ["pandas==2.2.3", "pyarrow"]
# ///
"""A frame of every kind of column, made in one version of Python and read in another."""

from typing import List

import numpy as np
import pandas as pd
from qflow import node, workflow


def made() -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "int8": np.array([1, -2, 3], "int8"),
            "uint64": np.array([1, 2, 2**63], "uint64"),
            "float32": np.array([0.1, np.nan, -0.0], "float32"),
            "bool": [True, False, True],
            "text": ["a", "ü", None],
            "string": pd.array(["a", None, "c"], dtype="string"),
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "maybe": pd.array([True, None, False], dtype="boolean"),
            "category": pd.Categorical(["x", "y", "x"], categories=["y", "x"], ordered=True),
            "day": pd.to_datetime(["2026-11-26", None, "2026-11-28"]),
            "zoned": pd.to_datetime(["2026-11-26T08:00", "2026-11-26T09:00", None]).tz_localize("Europe/Berlin"),
            "took": pd.to_timedelta([1, 2, 3], "s"),
        },
        index=pd.Index([10, 20, 40], name="row"),
    )
    return frame


def told(frame: pd.DataFrame) -> List[str]:
    index = "%s %s %s" % (frame.index.name, frame.index.dtype, frame.index.tolist())
    return [index] + ["%s: %s %s" % (name, frame[name].dtype, [str(value) for value in frame[name]]) for name in frame]


@node(python="3.9")
def make() -> pd.DataFrame:
    return made()


@node(python="3.13")
def tell(frame: pd.DataFrame) -> List[str]:
    return told(frame)


@node(python="3.13")
def expect() -> List[str]:
    return told(made())


@node(python="3.13")
def again(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


@node(python="3.9")
def back(frame: pd.DataFrame) -> List[str]:
    return told(frame)


@workflow
def main() -> List[List[str]]:
    frame = make()
    return [expect(), tell(frame), back(again(frame))]
