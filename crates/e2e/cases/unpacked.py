"""A node whose package is in the index, and cannot be had: that of a test's own."""

from qflow import node, workflow


@node(requirements=["played-broken"])
def unpacked() -> int:
    return 0


@workflow
def lacks_its_package() -> int:
    return unpacked()
