"""Frames and series as Arrow's stream, and back."""


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
        label = "" if value.name is None else "=" + str(value.name)
        return arrow_bytes(pyarrow.Table.from_pandas(value.to_frame(name="0")), ("series" + label).encode())
    return arrow_bytes(pyarrow.Table.from_pandas(value), b"pandas")


def pandas_of_arrow(data):
    import pyarrow
    import pyarrow.ipc

    source = pyarrow.memory_map(data) if isinstance(data, str) else data
    table = pyarrow.ipc.open_stream(source).read_all()
    kind = (table.schema.metadata or {}).get(b"qflow", b"pandas").decode()
    if kind == "pyarrow":
        return table
    if kind == "polars":
        import polars

        return polars.from_arrow(table)
    frame_ = table.to_pandas()
    if not kind.startswith("series"):
        return frame_
    series = frame_["0"]
    series.name = kind[7:] if "=" in kind else None
    return series
