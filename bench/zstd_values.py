"""Writes values of some 10 MB each, as they are stored, for `zstd -b1 -e3 FILE`: what docs/adr/021-zstd.md has measured.

    uv run --with pandas --with pyarrow python bench/zstd_values.py FOLDER
"""

import json
import pathlib
import random
import sys

import numpy as np
import pandas as pd
import pyarrow as pa

folder = pathlib.Path(sys.argv[1])
chance, numbers = random.Random(1), np.random.default_rng(1)
WORDS = [chance.choice("bcdfghjklmnprst") + chance.choice("aeiou") + str(chance.randrange(97)) for _ in range(5_000)]


def arrow(frame):
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pandas(frame)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def rows(count):
    for row in range(count):
        yield {"id": row, "item": chance.choice(WORDS), "price": round(chance.uniform(1, 500), 2), "day": {"$": "date", "v": f"2026-{row % 12 + 1:02}-{row % 28 + 1:02}"}}


prices = pd.DataFrame({f"c{at}": numbers.uniform(1, 500, 130_000).round(2) for at in range(10)})
texts = pd.DataFrame({f"c{at}": [f"{chance.choice(WORDS)} {chance.choice(WORDS)}" for _ in range(90_000)] for at in range(8)})
written = {
    "rows.json": json.dumps(list(rows(120_000)), separators=(",", ":")).encode(),
    "numbers.arrow": arrow(prices),
    "noise.npy": np.lib.format.magic(1, 0) + numbers.standard_normal(1_300_000).tobytes(),
    "texts.arrow": arrow(texts),
}
for name, content in written.items():
    (folder / name).write_bytes(content)
    print(name, len(content))
