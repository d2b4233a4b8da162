"""Has a method collapsed: does its encoder still tell images apart?"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cervbench.data.batches import Images
from cervbench.training.encoder import Encoder
from cervbench.training.forwarded import forwarded
from cervbench.training.loop import Diverged

LEAST_RANK = 2.0
LEAST_SPREAD = 0.01
"""Below either, the vectors of different images are one for all that a classifier can make of them."""
EXAMINED = 512
"""Images that are looked at: enough to tell."""
LOOKED_AT = 128
"""Vectors of a batch that are looked at: fewer, since a stage waits for it."""


def examined(encoder: Encoder, images: Images, remedy: str) -> dict[str, float]:
    """Rank and spread of what the frozen encoder makes of some of the images."""
    encoder.eval()
    some = images.mixed().subset(np.arange(min(len(images), EXAMINED)))
    vectors = forwarded(lambda pixels, _: encoder(pixels), some, encoder.normalise)
    if not np.isfinite(vectors).all():
        raise Diverged(f"the encoder answers with numbers that are not finite. {remedy}")
    return rank_and_spread(vectors)


@contextmanager
def looking_at(encoder: Encoder) -> Iterator[Callable[[], dict[str, float]]]:
    """While a method trains: rank and spread of what its encoder made last, for the log.

    Nothing is forwarded for it. A method that sends images through a part of the encoder alone, as MAE does,
    leaves nothing to look at.
    """
    last = [torch.empty(0)]  # of one length always: a compiled encoder would be compiled again for another

    def keep(_: nn.Module, __: object, vectors: Tensor) -> None:
        last[0] = vectors.detach()

    def look() -> dict[str, float]:
        if not len(last[0]):
            return {}
        vectors = last[0][:LOOKED_AT].float().cpu().numpy()
        if not np.isfinite(vectors).all():
            return {}  # the loop has a better word for it
        found = rank_and_spread(vectors)
        return {name.replace("feature", "batch"): value for name, value in found.items()}

    hook = encoder.register_forward_hook(keep)
    try:
        yield look
    finally:
        hook.remove()


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
    if "feature_rank" not in observed:
        return False
    return bool(observed["feature_rank"] < LEAST_RANK or observed["feature_spread"] < LEAST_SPREAD)


def warn_of_collapse(method: str, observed: Mapping[str, Any]) -> None:
    if collapsed(observed):
        logging.getLogger("cervbench").warning(
            "%s has collapsed: its vectors have rank %s and spread %s, so images can hardly be told apart. "
            "A smaller learning rate, or another batch size, may prevent it",
            method,
            observed["feature_rank"],
            observed["feature_spread"],
        )
