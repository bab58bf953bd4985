import os

from qflow import node, workflow


@node(cpus=1.5)
def names() -> list[str]:
    return [f"{name}={os.environ[name]}" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")]


@node(memory="256MiB", pids=32, tmp="16MiB", timeout="1m")
def scratch() -> str:
    with open("scratch.txt", "w") as out:
        out.write("only here")
    return f"{os.environ['HOME'] == os.getcwd()}, {os.environ['USER']}, {os.environ['TZ']}"


@workflow
def threads() -> tuple[list[str], str]:
    return names(), scratch()
