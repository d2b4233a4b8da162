"""DINO's head: a vector compared with prototypes, in a space of its own."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from cervbench.plugin import in_float32


class Head(nn.Module):
    """Three layers, unit length, and the cosine to each prototype."""

    def __init__(self, width: int, hidden: int, bottleneck: int, prototypes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, bottleneck),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.prototypes = nn.Parameter(torch.empty(prototypes, bottleneck).normal_())

    def forward(self, vectors: Tensor, frozen: Tensor) -> Tensor:
        """n × prototypes; while `frozen` holds, the prototypes get no gradient."""
        return cosine(self.layers(vectors), torch.where(frozen, self.prototypes.detach(), self.prototypes))


@in_float32  # what is divided by a temperature
def cosine(vectors: Tensor, prototypes: Tensor) -> Tensor:
    return functional.normalize(vectors) @ functional.normalize(prototypes).T
