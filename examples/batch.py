"""A batch against a server that allows few requests at a time, with a key: where it says 429, the node waits as long as it was told.

qflow run examples/batch.py -p server=http://192.0.2.10:8000 -p "names:=[\"ada\", \"eve\"]"

The key is the secret `shop-key`. The server must not be on the loopback of this machine: inside a container that is the container's own.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import qflow
from qflow import map, node, workflow


@node(network=True, secrets=["shop-key"], retries=8, backoff="200ms", timeout="30s", max_parallel=4)
def lookup(name: str, server: str) -> dict[str, int]:
    headers = {"Authorization": "Bearer " + qflow.secret("shop-key"), "Idempotency-Key": qflow.current().key}
    request = urllib.request.Request(f"{server}/customers/{name}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, int] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        if error.code == 429:
            raise qflow.Retry(f"{name}: too many requests", after=float(error.headers["Retry-After"]))
        if error.code in (401, 403, 404):
            raise qflow.Abort(f"{name}: {error.code} {error.reason}")
        raise


@node
def total(customers: list[dict[str, int]]) -> dict[str, int]:
    return {"customers": len(customers), "orders": sum(customer["orders"] for customer in customers)}


@workflow
def batch(server: str, names: list[str]) -> dict[str, int]:
    return total(map(lookup, names, server=server))
