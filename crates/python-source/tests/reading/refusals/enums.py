from enum import Enum, Flag

from qflow import node, workflow


class Unit(Enum):
    DAY = "day"
    HOUR = "hour"


class Mode(Flag):
    READ = 1


@node
def one(x: int) -> int:
    return x


@workflow
def compared(unit: Unit, mode: Mode, text: str) -> int:
    if mode == Mode.READ:
        pass
    if unit < Unit.HOUR:
        pass
    if text == Unit.DAY:
        pass
    if text in (Unit.DAY, Unit.HOUR):
        pass
    return one(1)
