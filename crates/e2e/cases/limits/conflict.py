# /// script
# dependencies = ["idna<3"]
# ///
"""What the file and a node require does not go together."""

from qflow import node, workflow


@node(
    requirements=["idna>=3.4"],
)
def newer() -> str:
    import idna

    return idna.__version__  # type: ignore[no-any-return]


@node
def older() -> str:
    import idna

    return idna.__version__  # type: ignore[no-any-return]


@workflow
def both() -> list[str]:
    return [newer(), older()]


@workflow
def one() -> str:
    return older()
