"""Helpers for the tests of a package: small encoders, and how far a network follows its leader."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from cervbench.checks.small_backbones import BACKBONES
from cervbench.data.views.normalise import UNIT
from cervbench.training.encoder import Encoder
from cervbench.training.initial_weights import build_encoder


def small_encoder(kind: Literal["CNN", "ViT"] = "CNN", image_size: int = 32) -> Encoder:
    """A ResNet of four blocks, or a ViT of two with patches of 8 px, always with the same weights."""
    return build_encoder(kind, BACKBONES[kind], "random", image_size, ("small encoder",))


class AsItIs(Encoder):
    """Takes vectors of this width for images and returns them, so that a loss can be worked by hand."""

    def __init__(self, width: int) -> None:
        nothing = nn.Identity()
        nothing.num_features = width  # type: ignore[assignment]
        super().__init__(nothing, UNIT)

    def forward(self, vectors: Tensor) -> Tensor:
        return vectors


def followed(follower: nn.Module, leader: nn.Module, step: Callable[[], object]) -> float:
    """The share of the way to its leader that a follower goes in a step, once the leader has been moved.

    Both must be equal before. AssertionError if a part of the follower goes another share than the rest.
    """
    before = [parameter.clone() for parameter in follower.parameters()]
    with torch.no_grad():
        for parameter in leader.parameters():
            parameter.add_(1.0)
    step()
    pairs = zip(before, follower.parameters(), leader.parameters(), strict=True)
    gone = torch.cat([((now - was) / (ahead - was)).flatten() for was, now, ahead in pairs]).detach()
    torch.testing.assert_close(gone, gone.mean().expand_as(gone), rtol=0, atol=1e-5)
    return float(gone.mean())
