# /// script
# requires-python = ">=3.10"
# dependencies = ["pandas==2.2.3", "vega_datasets==0.9.0"]
# ///
"""An ETL over the 3,376 airports that come with the package `vega_datasets`, in two Python versions.

    qflow run examples/airports.py -p least=50
"""

from __future__ import annotations

import pandas as pd
from pandas import DataFrame
from qflow import node, workflow


@node(python="3.11", memory="1GiB", timeout="5m")
def extract() -> DataFrame:
    from vega_datasets import data

    frame = data.airports()
    print(f"read {len(frame)} airports")
    return frame


@node(python="3.11", memory="1GiB")
def clean(raw: DataFrame) -> DataFrame:
    kept = raw.dropna(subset=["state", "latitude", "longitude"])
    return kept[kept["country"] == "USA"].reset_index(drop=True)


@node(python="3.11", memory="1GiB")
def by_state(airports: DataFrame) -> dict[str, int]:
    counts = airports.groupby("state").size()
    return {str(state): int(count) for state, count in counts.items()}


@node(python="3.11", memory="1GiB")
def northernmost(airports: DataFrame) -> dict[str, str]:
    row = airports.loc[airports["latitude"].idxmax()]
    return {"iata": str(row["iata"]), "name": str(row["name"]), "state": str(row["state"])}


@node(python="3.12", inherit=False)
def busiest(counts: dict[str, int], least: int) -> list[str]:
    """Needs no packages, so it runs in a newer Python without any."""
    states = [state for state, count in counts.items() if count >= least]
    return sorted(states, key=lambda state: (-counts[state], state))


@node(python="3.12", inherit=False)
def report(counts: dict[str, int], states: list[str], top: dict[str, str]) -> dict[str, object]:
    lines = [f"{state}: {counts[state]}" for state in states[:5]]
    print("\n".join(lines))
    return {"airports": sum(counts.values()), "states": len(counts), "largest": lines, "northernmost": top["name"]}


@workflow
def airports(least: int = 50) -> dict[str, object]:
    kept = clean(extract())
    counts = by_state(kept)
    return report(counts, busiest(counts, least), northernmost(kept))


if __name__ == "__main__":
    print(airports())
