"""Barlow Twins, as a method of cervbench."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from cervbench.plugin import Encoder, Method, gather, in_float32

EPSILON = 1e-8
"""Beside the variance of a feature: so small that it counts only where a feature says nothing."""


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
    correlation = cross_correlation(one, other)
    diagonal = correlation.diagonal()
    invariance = (1 - diagonal).square().sum()
    redundancy = (correlation - diagonal.diag()).square().sum()
    parts = {"invariance": invariance, "redundancy": redundancy, "diagonal": diagonal.mean()}
    return invariance + redundancy_weight * redundancy, parts


@in_float32
def cross_correlation(one: Tensor, other: Tensor) -> Tensor:
    """C: of each feature of one view with each of the other, over the batch on all devices."""
    whole = [gather(rows) for rows in (one, other)]
    standard = [functional.batch_norm(rows, None, None, training=True, eps=EPSILON) for rows in whole]
    return standard[0].T @ standard[1] / len(standard[0])
