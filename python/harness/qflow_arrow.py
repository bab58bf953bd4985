"""Frames and series as Arrow's stream, and back as they were: also columns of objects, which Arrow gives types of its own."""

import json

from qflow_exact import Inexact

MARK = b"qflow"  # of a column of objects: `objects` are as Python has them; `nan` or `none` is what a missing one is
KEPT = ("string", "empty", "bytes", "decimal", "date", "time")  # kinds of objects that come back as what they are


def arrow_bytes(table, kind):
    import pyarrow

    table = table.replace_schema_metadata(dict(table.schema.metadata or {}, qflow=kind))
    out = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def arrow_of_pandas(value):
    import pyarrow
    import pyarrow.ipc

    if hasattr(value, "to_frame"):  # a Series: its name may be None, which a column's cannot
        label = "" if value.name is None else "=" + value.name if type(value.name) is str else "#" + name_form(value.name)
        return arrow_bytes(table_of(value.to_frame(name="0")), ("series" + label).encode())
    return arrow_bytes(table_of(value), b"pandas")


def name_form(name):
    from qflow_encoder import Encoder, dumps

    return dumps(Encoder().form(name, "name"))


def table_of(frame):
    """The table of a frame; what a column's cells are is marked where Arrow would not tell."""
    import pyarrow

    if frame.columns.nlevels == 1 and frame.columns.dtype == object and not all(type(name) is str for name in frame.columns):
        raise Inexact("names of columns that are not all texts, nor all numbers or times, would come back as texts")
    table = pyarrow.Table.from_pandas(frame)
    schema = table.schema
    for at in range(len(frame.columns)):
        mark = mark_of(frame.iloc[:, at], table.column(at)) if frame.dtypes.iloc[at] == object else None
        if mark is not None:
            schema = schema.set(at, schema.field(at).with_metadata({MARK: mark}))
    return table if schema is table.schema else pyarrow.Table.from_arrays(table.columns, schema=schema)


def mark_of(series, column):
    import numpy
    from pandas.api.types import infer_dtype

    missing = series.isna().tolist()
    cells = series.tolist()
    if infer_dtype(series, skipna=True) in KEPT:
        gone = [cell for cell, none in zip(cells, missing) if none]
        return b"nan" if gone and all(type(cell) is float for cell in gone) else b"none"
    if all(none or type(cell) is numpy.ndarray for cell, none in zip(cells, missing)):
        return None
    for cell, back in zip(cells, column.to_pylist()):
        if not is_same(cell, back):
            raise Inexact("column %r holds a %s that would come back as something else" % (series.name, type(cell).__name__))
    return b"objects"


def is_same(one, other):
    """Whether a cell came back as it went, types and all."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(is_same(one[key], other[key]) for key in one)
    return bool(one == other) or (one != one and other != other)


def pandas_of_arrow(data):
    import pyarrow
    import pyarrow.ipc

    source = pyarrow.memory_map(data) if isinstance(data, str) else data
    table = pyarrow.ipc.open_stream(source).read_all()
    told = dict(table.schema.metadata or {})
    kind = told.pop(b"qflow", b"pandas").decode()
    if kind == "pyarrow":
        return table.replace_schema_metadata(told or None)
    if kind == "polars":
        import polars

        return polars.from_arrow(table)
    frame_ = marked(table.to_pandas(), table)
    if not kind.startswith("series"):
        return frame_
    series = frame_["0"]
    series.name = kind[7:] if kind[6:7] == "=" else name_of(kind[7:]) if kind[6:7] == "#" else None
    return series


def name_of(form):
    from qflow_decoder import Decoder

    return Decoder((), "").value(json.loads(form))


def marked(frame, table):
    import numpy
    import pandas

    for at, name in enumerate(frame.columns):
        mark = (table.schema.field(at).metadata or {}).get(MARK)
        if mark is None or (mark == b"none" and frame.dtypes.iloc[at] == object):
            continue
        cells = numpy.empty(len(frame), dtype=object)
        for row, cell in enumerate(table.column(at).to_pylist()):
            cells[row] = float("nan") if cell is None and mark == b"nan" else cell
        frame[name] = pandas.Series(cells, index=frame.index, dtype=object)  # texts would become pandas' own
    return frame
