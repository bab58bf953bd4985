# /// script
# dependencies = ["pandas", "pyarrow", "pydantic>=2"]
# ///
"""Frames, arrays and models between nodes, by themselves and inside other values."""

import datetime
from typing import Annotated, Any, Dict, List, Optional, Tuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field
from qflow import Pickle, map, node, workflow


class Item(BaseModel):  # type: ignore[misc]
    name: str
    price: float = Field(gt=0, alias="unitPrice")


class Basket(BaseModel):  # type: ignore[misc]
    owner: Optional[str] = None
    items: List[Item]
    day: datetime.date
    labels: Dict[str, Annotated[int, Field(ge=0)]] = {}


class Model:
    """What has no form of its own."""

    def __init__(self, slope: float):
        self.slope = slope

    def predict(self, x: float) -> float:
        return self.slope * x


class Fitted(BaseModel):  # type: ignore[misc]
    model: Pickle[Model]
    scores: Dict[str, Pickle[Model]] = {}


@node
def basket(day: datetime.date) -> Basket:
    items = [Item(name="a", unitPrice=1.5), Item(name="b", unitPrice=2)]
    return Basket(items=items, day=day, labels={"x": 1})


@node
def frames(basket: Basket) -> Tuple[pd.DataFrame, Dict[str, Any]]:
    assert type(basket) is Basket and type(basket.items[0]) is Item, basket
    frame = pd.DataFrame({"name": [i.name for i in basket.items], "price": [i.price for i in basket.items], "day": pd.to_datetime([basket.day] * 2)})
    series = frame.set_index("name")["price"]
    return frame, {"series": series, "array": np.arange(6, dtype="float32").reshape(2, 3), "list": [frame.head(1)], "scalar": np.int64(7)}


@node
def fit(pair: Tuple[pd.DataFrame, Dict[str, Any]]) -> Pickle[Model]:
    return Model(float(pair[0]["price"].sum()))


@node
def keep(model: Pickle[Model]) -> Fitted:
    return Fitted(model=model, scores={"twice": Model(2 * model.slope)})


@node
def tell(pair: Tuple[pd.DataFrame, Dict[str, Any]], model: Pickle[Model], basket: Basket, fitted: Fitted) -> List[str]:
    frame, more = pair
    return [
        type(frame).__name__, str(frame["price"].sum()), str(frame["day"].dt.year.iloc[0]), type(more["series"]).__name__,
        str(more["series"]["b"]), str(more["array"].dtype), str(more["array"].shape), str(len(more["list"][0])), str(more["scalar"]),
        str(model.predict(2)), str(basket.items[1].price), basket.model_dump_json(),
        "%s %s" % (fitted.model.predict(1), fitted.scores["twice"].predict(1)),
    ]  # fmt: skip


@workflow
def main(day: datetime.date = datetime.date(2026, 11, 25)) -> List[str]:
    made: Basket = basket(day)
    pair = frames(made)
    model = fit(pair)
    return tell(pair, model, made, keep(model))


@node
def roll(n: int) -> float:
    return float(np.random.random())


@workflow
def rolls(ns: List[int] = [1, 2, 3, 4]) -> List[float]:
    return map(roll, ns)


@node(requirements=["idna"])
def elsewhere(model: Pickle[Model]) -> float:
    return model.predict(1)


@workflow
def mismatch(day: datetime.date = datetime.date(2026, 11, 25)) -> float:
    return elsewhere(fit(frames(basket(day))))
