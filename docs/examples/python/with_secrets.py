import os

import qflow
from qflow import node, secret, workflow


@node(env={"REGION": "eu", "API_KEY": secret("shop-key")}, secrets=["shop-db"])
def connect(table: str) -> str:
    key, password = os.environ["API_KEY"], qflow.secret("shop-db")
    print(f"connecting with {key} and {password}")
    return f"{table} in {os.environ['REGION']}, {len(key)} and {len(password)} letters"


@workflow
def with_secrets(table: str = "sales") -> str:
    return connect(table)
