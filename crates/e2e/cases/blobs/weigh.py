"""A parameter of several parts, read piece by piece."""

import hashlib

from qflow import File, node, workflow


@node
def weigh(file: File) -> str:
    digest, size = hashlib.sha256(), 0
    with file.open("rb") as content:
        for piece in iter(lambda: content.read(1 << 20), b""):
            digest.update(piece)
            size += len(piece)
    return "%d %s" % (size, digest.hexdigest())


@workflow
def main(file: File) -> str:
    return weigh(file)
