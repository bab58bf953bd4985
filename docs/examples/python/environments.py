# /// script
# requires-python = ">=3.9"
# dependencies = ["idna==3.10"]
#
# [tool.qflow.node]
# retries = 1
# timeout = "5m"
# ///
from __future__ import annotations

import sys

from qflow import map, node, workflow


@node(python="3.12", requirements=["toolz==1.0.0"])
def newest(name: str) -> str:
    import idna
    import toolz

    return f"{toolz.first(sys.version.split('.'))}.{sys.version_info[1]}: {idna.encode(name).decode()}"


@node(python="3.9", inherit=False)
def bare(name: str | None) -> str:
    try:
        import idna  # noqa: F401
    except ModuleNotFoundError as error:
        return f"3.{sys.version_info[1]}: {error}"
    return "idna is there"


@workflow
def environments(name: str = "münchen.de") -> list[str]:
    return [newest(name), bare(name)]
