"""Bytes to a value: the tagged form of docs/VALUES.md and its attachments."""

import base64
import io
import os
import re

import qflow_content
from qflow_arrow import pandas_of_arrow
from qflow_classes import build, enum_member, find_class
from qflow_exact import placed, unlimited


class Decoder:
    """The tagged form back to Python values."""

    def __init__(self, attachments, home):
        self.attachments, self.home = attachments, home

    def value(self, form):
        if isinstance(form, list):
            return [self.value(item) for item in form]
        if not isinstance(form, dict):
            return form
        if "$" in form:
            return getattr(self, "_" + form["$"])(form)
        return {(k[1:] if k[:1] == "$" else k): self.value(v) for k, v in form.items()}

    def _int(self, form):
        return unlimited(lambda: int(form["v"]))

    def _float(self, form):
        return float(form["v"])

    def _complex(self, form):
        return complex(float(form["v"][0]), float(form["v"][1]))

    def _decimal(self, form):
        import decimal

        return decimal.Decimal(form["v"])

    def _date(self, form):
        import datetime

        return datetime.date.fromisoformat(form["v"])

    def _datetime(self, form):
        import datetime

        return placed(datetime.datetime.fromisoformat(iso(form["v"])), form)

    def _time(self, form):
        import datetime

        return placed(datetime.time.fromisoformat(iso(form["v"])), form)

    def _timedelta(self, form):
        import datetime

        return datetime.timedelta(*form["v"])

    def _uuid(self, form):
        import uuid

        return uuid.UUID(form["v"])

    def _path(self, form):
        import pathlib

        return pathlib.Path(form["v"])

    def _str(self, form):
        return base64.b64decode(form["v"]).decode("utf-8", "surrogatepass")

    def _bytes(self, form):
        return base64.b64decode(form["v"])

    def _tuple(self, form):
        return tuple(self.value(form["v"]))

    def _set(self, form):
        return set(self.value(form["v"]))

    def _frozenset(self, form):
        return frozenset(self.value(form["v"]))

    def _map(self, form):
        return {self.value(k): self.value(v) for k, v in form["v"]}

    def _enum(self, form):
        return enum_member(find_class(form["t"]), form["v"])

    def _object(self, form):
        return build(find_class(form["t"]), {k: self.value(v) for k, v in form["v"].items()})

    def _outcome(self, form):
        told = form["v"]
        return qflow_content.sdk().Outcome(told["ok"], self.value(told.get("value")), self.value(told.get("error")))

    def _attachment(self, form):
        kind, data = form["k"], self.attachments[form["i"]]
        if kind == "file" and not isinstance(data, str):
            data = self.laid_out(form, data)
        if kind in ("file", "folder"):
            sdk = qflow_content.sdk()
            return sdk.Folder(data) if kind == "folder" else sdk.File(data)
        if kind == "bytes":
            return qflow_content.read_whole(data)
        if kind == "npy":
            import numpy

            return numpy.load(data if isinstance(data, str) else io.BytesIO(data), allow_pickle=False)
        if kind == "pickle":
            import pickle

            return pickle.loads(qflow_content.read_whole(data))
        return pandas_of_arrow(data)

    def laid_out(self, form, data):
        path = os.path.join(self.home, "file-%d" % form["i"])
        with open(path, "wb") as out:
            out.write(data)
        os.chmod(path, 0o444)
        return path


def iso(text):
    """3.8 to 3.10 read neither `Z` nor fractions of other than 3 or 6 digits."""
    text = re.sub(r"[Zz]$", "+00:00", text)
    return re.sub(r"\.(\d+)", lambda m: "." + (m.group(1) + "000000")[:6], text)
