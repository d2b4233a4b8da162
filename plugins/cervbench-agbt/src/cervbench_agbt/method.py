"""Attention-guided Barlow Twins, as a method of cervbench."""

from collections.abc import Mapping, Sequence

import torch
from cervbench_barlow_twins.method import barlow_twins, cross_correlation, projector
from torch import Tensor, nn

from cervbench.plugin import Encoder, Method


class AGBT(Method):
    def build(self, encoder: Encoder) -> None:
        projection = projector(encoder.width, self.config.projector)
        projected = (encoder.width, *self.config.projector)[-1]
        self.target: nn.Module
        self.attention: nn.Module
        if self.config.target == "embedding":
            self.target = nn.Identity()
            self.attention = nn.Sequential(projection, nn.Linear(projected, encoder.width))
        else:
            self.target = projection
            self.attention = nn.Linear(projected, projected)

    def loss(self, views: Sequence[Tensor]) -> tuple[Tensor, Mapping[str, Tensor]]:
        target = self.target(self.encoder(torch.cat(list(views))))
        logits = self.attention(target.detach() if self.config.detach else target)
        one, other = target.float().chunk(2)
        attention, other_attention = logits.float().sigmoid().chunk(2)
        shared = shared_attention(attention, other_attention, self.config.epsilon)
        loss, parts = barlow_twins(one * shared, other * shared, self.config.redundancy_weight)
        with torch.no_grad():
            before = cross_correlation(one, other).diagonal().mean()
        return loss, {
            "invariance": parts["invariance"],
            "redundancy": parts["redundancy"],
            "diagonal_before_attention": before,
            "diagonal_after_attention": parts["diagonal"],
        }


def shared_attention(one: Tensor, other: Tensor, epsilon: float) -> Tensor:
    """The geometric mean of both views' attention: what only one of them attends to counts little."""
    return (one * other + epsilon).sqrt()
