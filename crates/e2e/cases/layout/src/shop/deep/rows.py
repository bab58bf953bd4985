"""Rows of the shop: in a folder that has no file of its own."""

import sqlite3
from pathlib import Path

import shop.types
from qflow import node

SQL = Path(__file__).resolve().parent.parent / "sql" / "rows.sql"


@node(python="3.9")
def read(names: list[str]) -> list[shop.types.Row]:
    with sqlite3.connect(":memory:") as connection:
        found = [connection.execute(SQL.read_text(), {"name": name}).fetchone() for name in names]
    return [shop.types.Row(name, pence) for name, pence in found]
