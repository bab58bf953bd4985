"""A node that needs a secret."""

import qflow
from qflow import node, workflow


@node(secrets=["token"])
def call() -> int:
    return len(qflow.secret("token"))


@workflow
def calls() -> int:
    return call()
