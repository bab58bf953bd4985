# /// script
# dependencies = ["idna<3"]
# ///
from qflow import node, workflow


@node(requirements=["idna>=3.4"])
def newer(name: str) -> str:
    return name


@workflow
def conflict(name: str = "münchen.de") -> str:
    return newer(name)
