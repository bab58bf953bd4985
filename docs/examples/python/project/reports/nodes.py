from __future__ import annotations

import sqlite3
from pathlib import Path

from qflow import node

SQL = Path(__file__).resolve().parent.parent / "sql"


@node
def add(a: int, b: int) -> int:
    query = (SQL / "sum.sql").read_text()
    with sqlite3.connect(":memory:") as connection:
        return int(connection.execute(query, (a, b)).fetchone()[0])
