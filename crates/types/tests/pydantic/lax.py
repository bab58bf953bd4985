"""What pydantic's lax mode makes of values: lines of {"value": tagged form, "type": text} in, lines of {"made": form} or {"refused": why} out."""

import collections.abc
import datetime
import decimal
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

NAMES = dict(vars(typing), **{name: getattr(collections.abc, name) for name in ("Sequence", "Iterable", "Collection", "Mapping", "Set")})
NAMES.update(date=datetime.date, datetime=datetime.datetime, time=datetime.time, timedelta=datetime.timedelta)
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


print(json.dumps({"pydantic": pydantic.VERSION}))
for line in sys.stdin:
    print(json.dumps(answer(line)))
