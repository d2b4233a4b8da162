"""Rank and spread of the vectors of an encoder, after its training and during it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from cervbench.data.batches import Images
from cervbench.error import Diverged
from cervbench.plugin.method import Method
from cervbench.training.collapse import rank_and_spread
from cervbench.training.encoder import Encoder
from cervbench.training.inference import NotFinite, features_of

IMAGES = 512
"""How many images an encoder is measured on after training; that is enough to tell whether it collapsed."""
VECTORS_PER_BATCH = 128
"""How many vectors of a batch are measured in training: fewer, because the stage waits for it."""


def rank_and_spread_of(method: Method, images: Images, remedy: str) -> dict[str, float]:
    """Rank and spread of what frozen evaluations see of some of the images."""
    some = images.in_order_of_ids().subset(np.arange(min(len(images), IMAGES)))
    try:
        vectors = features_of(method, some, method.encoder.normalise)
    except NotFinite as error:
        if type(method).features is not Method.features:
            raise
        raise Diverged(f"the encoder answers with numbers that are not finite. {remedy}") from error
    found = rank_and_spread(vectors)
    return {"feature_rank": found.rank, "feature_spread": found.spread}


@contextmanager
def measuring_batches(encoder: Encoder) -> Iterator[Callable[[], dict[str, float]]]:
    """While a method trains: gives a function that measures the encoder's latest vectors, for the log.

    Nothing is forwarded just for that. A method that sends images through only a part of the encoder, as MAE
    does, has nothing to measure.
    """
    latest = [torch.empty(0)]  # always of one length, since a compiled encoder is recompiled for another

    def keep(_: nn.Module, __: object, vectors: Tensor) -> None:
        latest[0] = vectors.detach()

    def measure() -> dict[str, float]:
        if not len(latest[0]):
            return {}
        vectors = latest[0][:VECTORS_PER_BATCH].float().cpu().numpy()
        if not np.isfinite(vectors).all():
            return {}  # the loop refuses them, with a better message
        found = rank_and_spread(vectors)
        return {"batch_rank": found.rank, "batch_spread": found.spread}

    hook = encoder.register_forward_hook(keep)
    try:
        yield measure
    finally:
        hook.remove()
