"""Whether attempts share a container."""

import os
from typing import List

from qflow import node, workflow


@node
def first() -> str:
    return str(os.getppid()) + open("/proc/%d/stat" % os.getppid()).read().rpartition(")")[2].split()[19]


@node
def second(before: str) -> List[str]:
    return [before, str(os.getppid()) + open("/proc/%d/stat" % os.getppid()).read().rpartition(")")[2].split()[19]]


@workflow
def run() -> List[str]:
    return second(first())


@node(isolation="node")
def alone() -> str:
    return str(os.getppid()) + open("/proc/%d/stat" % os.getppid()).read().rpartition(")")[2].split()[19]


@node(isolation="node")
def also_alone(before: str) -> List[str]:
    return [before, str(os.getppid()) + open("/proc/%d/stat" % os.getppid()).read().rpartition(")")[2].split()[19]]


@workflow
def each() -> List[str]:
    return also_alone(alone())


@node(isolation="shared")
def shared() -> str:
    return str(os.getppid()) + open("/proc/%d/stat" % os.getppid()).read().rpartition(")")[2].split()[19]


@workflow
def again() -> str:
    return shared()
