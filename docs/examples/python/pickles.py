from dataclasses import dataclass

from qflow import Pickle, node, workflow


class Model:
    def __init__(self, slope: float):
        self.slope = slope

    def predict(self, x: float) -> float:
        return self.slope * x


@dataclass
class Trained:
    model: Pickle[Model]
    score: float


@node
def train(slope: float) -> Pickle[Model]:
    return Model(slope)


@node
def judge(model: Pickle[Model]) -> Trained:
    return Trained(model, score=model.predict(1) / 10)


@node
def predict(trained: Trained, x: float) -> float:
    return trained.model.predict(x)


@workflow
def pickles(slope: float = 2.5, x: float = 4.0) -> float:
    return predict(judge(train(slope)), x)


if __name__ == "__main__":
    print(pickles())
