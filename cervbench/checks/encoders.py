"""Encoders for the tests of a package: as small as those that the checks train, or none at all."""

from typing import Literal

from torch import Tensor, nn

from cervbench.checks import ground
from cervbench.data.views.normalise import UNIT
from cervbench.training.encoder import Encoder
from cervbench.training.initial_weights import build_encoder


def small_encoder(kind: Literal["CNN", "ViT"] = "CNN", image_size: int = 32) -> Encoder:
    """A ResNet of four blocks, or a ViT of two with patches of 8 px; each time with the same weights."""
    return build_encoder(kind, ground.BACKBONES[kind], "random", image_size, ("small encoder",))


class AsItIs(Encoder):
    """What it is given are its vectors, of this width: with it a loss can be worked by hand."""

    def __init__(self, width: int) -> None:
        nothing = nn.Identity()
        nothing.num_features = width  # type: ignore[assignment]
        super().__init__(nothing, UNIT)

    def forward(self, vectors: Tensor) -> Tensor:
        return vectors
