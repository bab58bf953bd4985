# /// script
# requires-python = ">=3.10"
# dependencies = ["scikit-learn==1.5.2"]
#
# [tool.qflow.node]
# memory = "1GiB"
# timeout = "5m"
# ///
"""A search for the best parameters of a classifier: every combination is trained by itself, the best is tried on unseen data.

qflow run examples/search.py -p "depths:=[2, 8]"
"""

from __future__ import annotations

from dataclasses import dataclass

from qflow import Pickle, map, node, workflow
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score, train_test_split


@dataclass(frozen=True)
class Setting:
    depth: int
    trees: int


@dataclass(frozen=True)
class Score:
    setting: Setting
    accuracy: float


def model(setting: Setting) -> RandomForestClassifier:
    return RandomForestClassifier(max_depth=setting.depth, n_estimators=setting.trees, random_state=0)


@node
def grid(depths: list[int], trees: list[int]) -> list[Setting]:
    return [Setting(depth, count) for depth in depths for count in trees]


@node(max_parallel=4)
def score(setting: Setting, folds: int) -> Score:
    wine = load_wine()
    x, _, y, _ = train_test_split(wine.data, wine.target, random_state=0)
    accuracy = float(cross_val_score(model(setting), x, y, cv=folds).mean())
    print(f"depth {setting.depth}, {setting.trees} trees: {accuracy:.3f}")
    return Score(setting, accuracy)


@node
def best(scores: list[Score]) -> Setting:
    return max(scores, key=lambda score: (score.accuracy, -score.setting.depth, -score.setting.trees)).setting


@node
def fit(setting: Setting) -> Pickle[RandomForestClassifier]:
    wine = load_wine()
    x, _, y, _ = train_test_split(wine.data, wine.target, random_state=0)
    return model(setting).fit(x, y)


@node
def test(fitted: Pickle[RandomForestClassifier]) -> float:
    wine = load_wine()
    _, x, _, y = train_test_split(wine.data, wine.target, random_state=0)
    return round(float(fitted.score(x, y)), 3)


@workflow
def search(depths: list[int] = [1, 2, 4], trees: list[int] = [5, 50], folds: int = 3) -> tuple[Setting, float]:
    scores = map(score, grid(depths, trees), folds=folds)
    chosen = best(scores)
    return chosen, test(fit(chosen))


if __name__ == "__main__":
    print(search())
