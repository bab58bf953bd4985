from pathlib import Path

from qflow import File, Folder, map, node, workflow


@node
def split(rows: int) -> Folder:
    folder = Path("parts")
    folder.mkdir()
    for day in ("mon", "tue"):
        (folder / f"{day}.csv").write_text("amount\n" + "1.5\n" * rows)
    return Folder(folder)


@node
def pick(day: str, parts: Folder) -> File:
    return File(parts / f"{day}.csv")


@node
def lines(part: File) -> str:
    return f"{part.name} has {len(part.read_text().splitlines())} lines"


@workflow
def files(rows: int = 1000) -> list[str]:
    parts = split(rows)
    return map(lines, map(pick, ["mon", "tue"], parts=parts))
