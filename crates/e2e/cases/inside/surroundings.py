"""What a node finds around it."""

import asyncio
import os
import random
import threading
import uuid
from typing import Any, Dict, List

import qflow
from qflow import map, node, workflow

print("printed by the file itself")
SEEN_AT_IMPORT = os.environ.get("REGION")


@node(env={"REGION": "eu", "COUNT": "3", "KEY": qflow.secret("api-key")}, secrets=["db"], cpus=1.5, timeout="1m", retries=1)
def around() -> Dict[str, Any]:
    now = qflow.current()
    here = os.getcwd()
    open("scratch.txt", "w").close()
    return {
        "region": [os.environ["REGION"], os.environ["COUNT"], SEEN_AT_IMPORT],
        "secrets": [len(qflow.secret("db")), len(os.environ["QFLOW_SECRET_DB"]), len(os.environ["KEY"])],
        "home": os.environ["HOME"] == here == os.environ["TMPDIR"],
        "who": [os.environ["USER"], os.environ["LOGNAME"], os.environ["TZ"]],
        "threads": [os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")],
        "inherited": [name for name in ("QFLOW_DATA_DIR", "QFLOW_TOKEN", "CARGO_TARGET_DIR", "LEAKED") if name in os.environ],
        "current": [now.workflow, now.node_id, now.index, now.attempt, len(now.run_id), len(now.key), len(now.trace_id), now.scheduled_for,
                    (now.deadline or "")[:2], (now.deadline or "")[-6:]],
    }  # fmt: skip


@workflow
def main() -> Dict[str, Any]:
    return around()


@node
def dice(n: int) -> List[str]:
    return [str(random.random()), str(uuid.uuid4()), qflow.current().node_id, str(qflow.current().index)]


@workflow
def rolls(ns: List[int] = [1, 2, 3, 4]) -> List[List[str]]:
    return map(dice, ns)


@node(retries=1)
def keyed() -> str:
    if qflow.current().attempt == 1:
        print("key", qflow.current().key)
        raise ValueError("once more")
    print("key", qflow.current().key)
    return qflow.current().key


@workflow
def keys() -> str:
    return keyed()


@node
def telling() -> str:
    qflow.progress(0.4)
    qflow.progress(1, 2)
    with qflow.span("outer", rows=3, secret=False):
        with qflow.span("inner"):
            qflow.log("parsed", rows=3, file="a b.csv", loss=float("nan"), most=10**400)
        with qflow.span("failing"):
            try:
                with qflow.span("deep"):
                    raise KeyError("k")
            except KeyError:
                pass

    def work() -> None:
        with qflow.span("in a thread"):
            pass

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return "told"


@workflow
def tell() -> str:
    return telling()


@node
async def gathered(n: int) -> int:
    async def one(i: int) -> int:
        with qflow.span("one", i=i):
            await asyncio.sleep(0.01)
        return i

    return sum(await asyncio.gather(*[one(i) for i in range(n)]))


@workflow
def together(n: int = 4) -> int:
    return gathered(n)


@node(secrets=["db"])
def leaks() -> str:
    secret = qflow.secret("db")
    print("the secret is", secret)
    qflow.log("leak", value=secret)
    with qflow.span("span " + secret, value=secret):
        raise RuntimeError("no: " + secret)


@workflow
def leak() -> str:
    return leaks()


@node(secrets=["nowhere"])
def wants() -> str:
    return qflow.secret("nowhere")


@workflow
def want() -> str:
    return wants()


@node
def undeclared() -> str:
    return qflow.secret("db")


@workflow
def undeclare() -> str:
    return undeclared()
