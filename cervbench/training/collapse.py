"""Whether a method has collapsed, so that its encoder hardly tells images apart any more."""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

LEAST_RANK = 2.0
LEAST_SPREAD = 0.01
"""Below either, vectors of different images are practically identical."""


class RankAndSpread(NamedTuple):
    rank: float
    spread: float


def rank_and_spread(features: np.ndarray) -> RankAndSpread:
    """How many directions the vectors of some images use, and how far apart they lie.

    The rank is that of RankMe (Garrido et al., ICML 2023), for centred features: the exponential of the
    entropy of their singular values. The spread is that of SimSiam (Chen and He, CVPR 2021): the standard
    deviation of features scaled to unit length, times the root of their width. It is 1 if they point equally
    in all directions, and 0 if all are the same.
    """
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    # The eigenvalues of the smaller product are several times as fast as decomposing the vectors themselves.
    wide = centred.shape[0] < centred.shape[1]
    singular = np.sqrt(np.linalg.eigvalsh(centred @ centred.T if wide else centred.T @ centred).clip(0))
    total = singular.sum()
    share = singular[singular > 0] / total if total > 0 else np.ones(1)
    length = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    unit = features.astype(np.float64) / length
    return RankAndSpread(
        rank=round(float(np.exp(-(share * np.log(share)).sum())), 2),
        spread=round(float(unit.std(axis=0).mean() * np.sqrt(features.shape[1])), 4),
    )


def collapsed(observed: Mapping[str, Any]) -> bool:
    """Whether what was observed of a pretraining shows a collapse; without an encoder there can be none."""
    least = {"feature_rank": LEAST_RANK, "feature_spread": LEAST_SPREAD}
    seen = {name: observed.get(name) for name in least}
    return any(isinstance(value, int | float) and value < least[name] for name, value in seen.items())


def warn_of_collapse(method: str, observed: Mapping[str, Any]) -> None:
    if collapsed(observed):
        logging.getLogger("cervbench").warning(
            "%s has collapsed: its vectors have rank %s and spread %s, so images can hardly be told apart. "
            "A smaller learning rate, or another batch size, may prevent it",
            method,
            observed["feature_rank"],
            observed["feature_spread"],
        )
