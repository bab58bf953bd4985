"""What pydantic-core takes for the same JSON in this minute: `pydantic_floor.py FILE floats|rows` prints milliseconds."""

import sys
import time

import pydantic
import typing_extensions

ROUNDS = 41


class Row(typing_extensions.TypedDict):
    id: int
    name: str
    price: float
    note: typing_extensions.NotRequired[typing_extensions.Optional[str]]


TYPES = {"floats": typing_extensions.List[typing_extensions.Dict[str, float]], "rows": typing_extensions.List[Row]}
with open(sys.argv[1], "rb") as file:
    data = file.read()
adapter = pydantic.TypeAdapter(TYPES[sys.argv[2]])
took = []
for _ in range(ROUNDS):
    begun = time.perf_counter()
    adapter.validate_json(data)
    took.append((time.perf_counter() - begun) * 1e3)
print(sorted(took)[ROUNDS // 2])
