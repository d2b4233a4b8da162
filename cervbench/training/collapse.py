"""Has a method collapsed: does its encoder still tell images apart?"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from cervbench.data.batches import Images
from cervbench.training.encoder import Encoder

LEAST_RANK = 2.0
LEAST_SPREAD = 0.01
"""Below either, the vectors of different images are one for all that a classifier can make of them."""
LOOKED_AT = 512
"""Images are enough to tell."""


def examined(encoder: Encoder, images: Images) -> dict[str, float]:
    """Rank and spread of what the frozen encoder makes of some of the images."""
    encoder.eval()
    some = images.subset(np.arange(min(len(images), LOOKED_AT)))
    with torch.inference_mode():
        vectors = [encoder(pixels).float().cpu().numpy() for pixels, _ in some.batches(encoder.normalise)]
    return rank_and_spread(np.concatenate(vectors))


def rank_and_spread(features: np.ndarray) -> dict[str, float]:
    """Of the vectors of some images: how many directions they use, and how far apart they lie.

    The rank is RankMe's (Garrido et al., ICML 2023) of centred features: the exponential of the entropy of
    their singular values. The spread is SimSiam's (Chen and He, CVPR 2021): the deviation of features
    of unit length, times the root of their width; 1 where they point in all directions alike, 0 where all
    are one.
    """
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    singular = np.linalg.svd(centred, compute_uv=False)
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
    if "feature_rank" not in observed:
        return False
    return bool(observed["feature_rank"] < LEAST_RANK or observed["feature_spread"] < LEAST_SPREAD)
