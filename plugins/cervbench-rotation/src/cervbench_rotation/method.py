"""Rotation prediction, as a method of cervbench."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cervbench.plugin import Encoder, Flip, Method, Policy, Rotation, View, named_policy, on_device, own_rows

TURNS = 4


class RotationPrediction(Method):
    def build(self, encoder: Encoder) -> None:
        self.turn = nn.Linear(encoder.width, TURNS)

    def views(self) -> Sequence[View]:
        return (upright(named_policy(self.config.policy)),)

    def loss(self, views: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        (images,) = views
        device, count = images.device, len(images)
        every = torch.stack([torch.rot90(images, k, (2, 3)) for k in range(TURNS)])
        if self.config.all_turns:
            turns = torch.arange(TURNS, device=device).repeat_interleave(count)
            seen = every.flatten(0, 1)
        else:
            turns = on_device(own_rows(any_turns, count), device)
            seen = every[turns, torch.arange(count, device=device)]
        logits = self.turn(self.encoder(seen)).float()
        right = (logits.argmax(1) == turns).float().mean()
        return functional.cross_entropy(logits, turns), {"accuracy": right}


def any_turns(count: int) -> Tensor:
    return torch.randint(TURNS, (count,))


def upright(policy: Policy) -> Policy:
    """The policy as far as it leaves a top a top: without turns, and mirrored left to right alone.

    Mirrored both ways an image is turned by a half, so that no one could say by how much it was turned.
    """
    return Policy(
        [
            Flip(operation.horizontal, vertical=0.0) if isinstance(operation, Flip) else operation
            for operation in policy.operations
            if not isinstance(operation, Rotation)
        ]
    )
