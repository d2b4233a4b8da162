"""Has a method collapsed: does its encoder still tell images apart?"""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

LEAST_RANK = 2.0
LEAST_SPREAD = 0.01
"""Below either, the vectors of different images are one for all that a classifier can make of them."""


def rank_and_spread(features: np.ndarray) -> dict[str, float]:
    """How many directions the vectors of some images use, and how far apart they lie.

    The rank is RankMe's (Garrido et al., ICML 2023) of centred features: the exponential of the entropy of
    their singular values. The spread is SimSiam's (Chen and He, CVPR 2021): the deviation of features
    of unit length, times the root of their width; 1 where they point in all directions alike, 0 where all
    are one.
    """
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    # From the smaller of the two products: several times as fast as a decomposition of the vectors.
    wide = centred.shape[0] < centred.shape[1]
    singular = np.sqrt(np.linalg.eigvalsh(centred @ centred.T if wide else centred.T @ centred).clip(0))
    total = singular.sum()
    share = singular[singular > 0] / total if total > 0 else np.ones(1)
    length = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    unit = features.astype(np.float64) / length
    return {
        "feature_rank": round(float(np.exp(-(share * np.log(share)).sum())), 2),
        "feature_spread": round(float(unit.std(axis=0).mean() * np.sqrt(features.shape[1])), 4),
    }


def collapsed(observed: Mapping[str, Any]) -> bool:
    """Whether what was observed of a pretraining says so; what has no encoder cannot collapse."""
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
