"""A network that follows another: the target of BYOL, the key encoder of MoCo, the teacher of DINO."""

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from cervbench.plugin.problems import ContractError

if TYPE_CHECKING:
    from cervbench.plugin.method import Progress


@torch.no_grad()
def moving_average(follower: nn.Module, leader: nn.Module, keep: float) -> None:
    """Each parameter becomes keep · its own + (1 - keep) · the leader's; buffers are left alone.

    All in one launch, for a step of a large network has hundreds of parameters. A follower is not trained:
    one that wants gradients is refused, but where it takes the leader's parameters as they are (`keep` 0).
    """
    if keep and any(parameter.requires_grad for parameter in follower.parameters()):
        raise ContractError(
            f"moving_average is given a {type(follower).__name__} to follow that wants gradients itself: "
            "freeze it with requires_grad_(False), or see whether follower and leader are the right way round"
        )
    torch._foreach_lerp_(list(follower.parameters()), list(leader.parameters()), 1 - keep)


def keep_at(progress: "Progress", most: float, memory: float, rising: bool = False) -> float:
    """What a follower keeps of itself in a step: `most`, and less in a short stage, so that it moves too.

    It remembers no longer than the share `memory` of the steps. Where it rises, it does so on half a cosine,
    up to all of itself at the end.
    """
    first = min(most, 1 - 1 / max(1.0, memory * progress.steps))
    if not rising:
        return first
    return 1 - (1 - first) * (1 + math.cos(math.pi * progress.share)) / 2
