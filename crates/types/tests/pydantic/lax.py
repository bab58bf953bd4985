"""What pydantic's lax mode makes of values: lines of {"value": tagged form, "type": text} in, lines of {"made": form} or {"refused": why} out."""

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import sys
import typing
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[4]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "python/harness")]
import pydantic  # noqa: E402
import qflow  # noqa: E402,F401 (the encoder knows its classes)
import qflow_decoder  # noqa: E402
import qflow_encoder  # noqa: E402
import typing_extensions  # noqa: E402


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Row(typing_extensions.TypedDict):
    item: str
    amount: int
    day: typing_extensions.NotRequired[datetime.date]


class Point(typing.NamedTuple):
    x: int
    y: float


@dataclasses.dataclass
class Order:
    item: str
    colour: Colour
    rows: typing.List[Row]
    amount: int = 1


class defaultdict:
    """Whatever a value is of, pydantic wants to know what makes one that is not there; nothing here asks for one."""

    def __class_getitem__(cls, of):
        return typing.DefaultDict[of[0], typing_extensions.Annotated[of[1], pydantic.Field(default_factory=list)]]


NAMES = dict(vars(typing), **{name: getattr(collections.abc, name) for name in ("Sequence", "Iterable", "Collection", "Mapping", "MutableMapping", "Set", "MutableSet")})
NAMES.update(defaultdict=defaultdict, date=datetime.date, datetime=datetime.datetime, time=datetime.time, timedelta=datetime.timedelta)
NAMES.update(Colour=Colour, Level=Level, Row=Row, Point=Point, Order=Order)
NAMES.update(Decimal=decimal.Decimal, UUID=uuid.UUID, Path=pathlib.Path)
adapters = {}


def answer(line):
    asked = json.loads(line)
    text = asked["type"]
    if text not in adapters:
        adapters[text] = pydantic.TypeAdapter(eval(text, NAMES))
    value = qflow_decoder.Decoder([], "").value(asked["value"])
    try:
        made = adapters[text].validate_python(value)
    except pydantic.ValidationError as error:
        return {"refused": error.errors()[0]["msg"]}
    except TypeError as error:  # of a set: what no set can hold
        return {"refused": str(error)}
    return {"made": qflow_encoder.Encoder().form(made)}


print(json.dumps({"pydantic": pydantic.VERSION, "python": sys.version.split()[0], "container": pydantic.__file__.startswith("/site/")}))
for line in sys.stdin:
    print(json.dumps(answer(line)))
