"""A file that another one imports."""


def fails_there(x: int | None) -> int:
    return {}[x]  # type: ignore[index]
