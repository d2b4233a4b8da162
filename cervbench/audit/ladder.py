"""The ladder: how accuracy falls as folds keep ever larger groups of images together.

A rung loses accuracy against random images if images of one group tell more about each other than their
class does. That is leakage only as far as the control does not lose it too: there, groups have the same sizes
and classes, but images were dealt to them at random.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from cervbench.protocol.randomness import generator

SEEDS = 4
FOLDS = 5
COMPONENTS = 100


@dataclass(frozen=True)
class Rung:
    together: str
    """What the folds keep together."""
    groups: int
    accuracy: float
    balanced_accuracy: float
    spread: float
    """The standard deviation of the balanced accuracy over seeds; each seed deals its own folds."""
    abnormal_accuracy: float | None = None
    """Of abnormal against normal, with the same predictions; None if the card knows no abnormal classes."""


def climb(
    features: np.ndarray,
    labels: np.ndarray,
    groupings: Mapping[str, Sequence[str]],
    abnormal: Collection[str] = (),
) -> list[Rung]:
    """One rung for each way to group the images."""
    return [_rung(name, features, labels, np.asarray(groups), abnormal) for name, groups in groupings.items()]


def shuffled_within_class(labels: np.ndarray, groups: Sequence[str]) -> list[str]:
    """The control: each image takes the group of another image of its class."""
    mixed = np.asarray(groups).copy()
    for name in np.unique(labels):
        rows = np.flatnonzero(labels == name)
        mixed[rows] = mixed[generator("audit", "control", name).permutation(rows)]
    return [str(group) for group in mixed]


def _rung(
    name: str, features: np.ndarray, labels: np.ndarray, groups: np.ndarray, abnormal: Collection[str]
) -> Rung:
    guesses = [_cross_validated(features, labels, groups, seed) for seed in range(SEEDS)]
    balanced = [balanced_accuracy_score(labels, guessed) for guessed in guesses]
    found = np.isin(labels, list(abnormal))
    of_two = [accuracy_score(found, np.isin(guessed, list(abnormal))) for guessed in guesses]
    return Rung(
        name,
        len(np.unique(groups)),
        float(np.mean([accuracy_score(labels, guessed) for guessed in guesses])),
        float(np.mean(balanced)),
        float(np.std(balanced, ddof=1)),
        float(np.mean(of_two)) if abnormal else None,
    )


def _cross_validated(features: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """The class that each image is taken for where its fold is tested."""
    guessed = np.empty_like(labels)
    for train, test in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(
        features, labels, groups
    ):
        components = min(COMPONENTS, features.shape[1], len(train) - 1)
        model: Pipeline | DummyClassifier = make_pipeline(
            StandardScaler(), PCA(components, svd_solver="full"), LogisticRegression(C=0.1, max_iter=1000)
        )
        if not np.ptp(features[train], axis=0).any():  # as with images of one size: PCA would divide by zero
            model = DummyClassifier(strategy="most_frequent")
        guessed[test] = model.fit(features[train], labels[train]).predict(features[test])
    return guessed
