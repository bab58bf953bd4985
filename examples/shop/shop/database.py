"""A database in memory, filled from the files in sql/."""

import sqlite3
from pathlib import Path

SQL = Path(__file__).resolve().parent.parent / "sql"


def query(name: str) -> str:
    return (SQL / f"{name}.sql").read_text()


def connect() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.executescript(query("shop"))
    return connection
