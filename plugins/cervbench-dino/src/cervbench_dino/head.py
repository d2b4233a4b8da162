"""DINO's head: a vector compared with prototypes, in a space of its own."""

import torch
from torch import Tensor, nn
from torch.nn import functional


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
        compared = self.layers(vectors)
        with torch.autocast(compared.device.type, enabled=False):  # divided by a temperature, bf16 is coarse
            prototypes = torch.where(frozen, self.prototypes.detach(), self.prototypes)
            return functional.normalize(compared.float()) @ functional.normalize(prototypes).T
