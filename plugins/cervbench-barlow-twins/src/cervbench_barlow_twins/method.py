"""Barlow Twins, as a method of cervbench."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from cervbench.plugin import Encoder, Method, gather, in_float32

EPSILON = 1e-8
"""Beside the variance of a feature: so small that it counts only where a feature says nothing."""
MANY = 16
"""Features for each image of the batch; where there are more, products of images take the place of C."""


class BarlowTwins(Method):
    def build(self, encoder: Encoder) -> None:
        self.projector = projector(encoder.width, self.config.projector)

    def loss(self, views: Sequence[Tensor]) -> tuple[Tensor, Mapping[str, Tensor]]:
        one, other = self.projector(self.encoder(torch.cat(list(views)))).chunk(2)
        return barlow_twins(one, other, self.config.redundancy_weight)


def projector(width: int, layers: Sequence[int]) -> nn.Sequential:
    """Linear layers of these widths on vectors of `width`, norm and ReLU between them; of none, nothing."""
    between = [
        part
        for before, after in pairwise((width, *layers))
        for part in (nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU())
    ]
    return nn.Sequential(*between[:-2])


def barlow_twins(one: Tensor, other: Tensor, redundancy_weight: float) -> tuple[Tensor, Mapping[str, Tensor]]:
    """The loss of two views' embeddings, and its parts: both terms, and the mean of the diagonal of C."""
    diagonal, redundancy = on_and_off_the_diagonal(one, other)
    invariance = (1 - diagonal).square().sum()
    parts = {"invariance": invariance, "redundancy": redundancy, "diagonal": diagonal.mean()}
    return invariance + redundancy_weight * redundancy, parts


@in_float32
def on_and_off_the_diagonal(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """The diagonal of C, and the sum of squares of what lies off it.

    C holds width² numbers. Where that is much more than the batch does, the sum of all its squares comes from
    the products of the images with each other: |AᵀB|² = Σ (AAᵀ) ∘ (BBᵀ).
    """
    if one.shape[1] <= MANY * len(one):
        correlation = cross_correlation(one, other)
        diagonal = correlation.diagonal()
        return diagonal, (correlation - diagonal.diag()).square().sum()
    a, b = standardised(one), standardised(other)
    diagonal = (a * b).mean(0)
    return diagonal, ((a @ a.T) * (b @ b.T)).sum() / len(a) ** 2 - diagonal.square().sum()


@in_float32
def cross_correlation(one: Tensor, other: Tensor) -> Tensor:
    """C: of each feature of one view with each of the other, over the batch on all devices."""
    a, b = standardised(one), standardised(other)
    return a.T @ b / len(a)


def standardised(rows: Tensor) -> Tensor:
    """Each feature at mean 0 and variance 1 over the batch on all devices."""
    return functional.batch_norm(gather(rows), None, None, training=True, eps=EPSILON)
