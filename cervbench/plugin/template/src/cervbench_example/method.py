"""Alignment and uniformity: views of one image come close, and all images spread over the sphere."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cervbench.plugin import Encoder, Method, gather


class Example(Method):
    def build(self, encoder: Encoder) -> None:
        self.projector = nn.Sequential(
            nn.Linear(encoder.width, encoder.width),
            nn.ReLU(),
            nn.Linear(encoder.width, self.config.projection),
        )

    def loss(self, views: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        first, second = self.projector(self.encoder(torch.cat(list(views)))).float().chunk(2)
        one, other = gather(functional.normalize(first)), gather(functional.normalize(second))
        together, apart = alignment(one, other), (uniformity(one) + uniformity(other)) / 2
        return together + self.config.spread * apart, {"alignment": together, "uniformity": apart}


def alignment(one: Tensor, other: Tensor) -> Tensor:
    """The mean squared distance of the two views of an image: 0 at best."""
    return (one - other).square().sum(1).mean()


def uniformity(points: Tensor) -> Tensor:
    """The log of the mean, over pairs of images, of exp(-2 · squared distance): the lower, the farther."""
    return functional.pdist(points).square().mul(-2).exp().mean().log()
