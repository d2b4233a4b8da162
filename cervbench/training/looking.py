"""What an encoder makes of images: rank and spread of its vectors, when it is trained and while it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from cervbench.data.batches import Images
from cervbench.training.collapse import rank_and_spread
from cervbench.training.encoder import Encoder
from cervbench.training.forwarded import forwarded
from cervbench.training.loop import Diverged

EXAMINED = 512
"""Images that are looked at: enough to tell."""
LOOKED_AT = 128
"""Vectors of a batch that are looked at: fewer, since a stage waits for it."""


def examined(encoder: Encoder, images: Images, remedy: str) -> dict[str, float]:
    """Rank and spread of what the frozen encoder makes of some of the images."""
    encoder.eval()
    some = images.in_order_of_ids().subset(np.arange(min(len(images), EXAMINED)))
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
