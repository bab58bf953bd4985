# /// script
# dependencies = ["idna==3.10"]
# ///
import idna
from qflow import node, workflow


@node
def encode(name: str) -> str:
    return str(idna.encode(name), "ascii")


@node(inherit=False)
def bare(name: str) -> str:
    return str(idna.encode(name), "ascii")


@workflow
def placeholders(name: str = "münchen.de") -> str:
    return encode(name)


@workflow
def missing(name: str = "münchen.de") -> str:
    return bare(name)
