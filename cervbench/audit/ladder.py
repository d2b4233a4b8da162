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
SHUFFLES = 8
"""Of a control. One shuffle of a few wide groups moves it by a point."""
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
    """The standard deviation of the balanced accuracy over seeds; each deals folds of its own, and shuffles a
    control anew."""
    abnormal_accuracy: float | None = None
    """Of abnormal against normal, with the same predictions; None if the card knows no abnormal classes."""


def climb(
    features: np.ndarray,
    labels: np.ndarray,
    groupings: Mapping[str, Sequence[str]],
    abnormal: Collection[str] = (),
    controls: Mapping[str, Sequence[str]] | None = None,
) -> list[Rung]:
    """One rung for each way to group the images, then one for each control, of groups that are shuffled."""
    dealt = {name: [np.asarray(groups)] * SEEDS for name, groups in groupings.items()}
    for name, groups in (controls or {}).items():
        dealt[name] = [shuffled_within_class(labels, groups, seed) for seed in range(SHUFFLES)]
    return [_rung(name, features, labels, own, abnormal) for name, own in dealt.items()]


def shuffled_within_class(labels: np.ndarray, groups: Sequence[str], seed: int) -> np.ndarray:
    """The control: each image takes the group of another image of its class."""
    mixed = np.array(groups, dtype=str)
    for name in np.unique(labels):
        rows = np.flatnonzero(labels == name)
        mixed[rows] = mixed[generator("audit", "control", name, seed).permutation(rows)]
    return mixed


def _rung(
    name: str,
    features: np.ndarray,
    labels: np.ndarray,
    dealt: Sequence[np.ndarray],
    abnormal: Collection[str],
) -> Rung:
    """`dealt` are the groups of the images, by seed."""
    guesses = [_cross_validated(features, labels, groups, seed) for seed, groups in enumerate(dealt)]
    [count] = {len(np.unique(groups)) for groups in dealt}
    balanced = [balanced_accuracy_score(labels, guessed) for guessed in guesses]
    found = np.isin(labels, list(abnormal))
    of_two = [accuracy_score(found, np.isin(guessed, list(abnormal))) for guessed in guesses]
    return Rung(
        name,
        count,
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
