"""The network that student and teacher both are: an encoder, and a head that compares with prototypes."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cervbench.plugin import Encoder, in_float32
from cervbench_dino.crops import vector_of


class Network(nn.Module):
    def __init__(self, encoder: Encoder, head: "Head") -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, crops: Sequence[Tensor], frozen: Tensor) -> Tensor:
        """Of batches of crops, each of a size of its own: crops × prototypes."""
        answers: Tensor = self.head(torch.cat([vector_of(self.encoder, alike) for alike in crops]), frozen)
        return answers


class Head(nn.Module):
    """Three layers into a space of its own, unit length, and the cosine to each prototype there."""

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
        # As short as the weights of a linear layer begin: only directions count, and steps of AdamW have one
        # length, so that long prototypes would hardly turn.
        bound = bottleneck**-0.5
        self.prototypes = nn.Parameter(torch.empty(prototypes, bottleneck).uniform_(-bound, bound))

    def forward(self, vectors: Tensor, frozen: Tensor) -> Tensor:
        """n × prototypes; while `frozen` holds, the prototypes get no gradient."""
        return cosine(self.layers(vectors), torch.where(frozen, self.prototypes.detach(), self.prototypes))


@in_float32  # what is divided by a temperature
def cosine(vectors: Tensor, prototypes: Tensor) -> Tensor:
    return functional.normalize(vectors) @ functional.normalize(prototypes).T
