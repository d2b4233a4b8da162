"""A network that follows another: the target of BYOL, the key encoder of MoCo, the teacher of DINO."""

import torch
from torch import nn


@torch.no_grad()
def moving_average(follower: nn.Module, leader: nn.Module, keep: float) -> None:
    """Each parameter becomes keep · its own + (1 - keep) · the leader's; buffers are left alone.

    All in one launch, for a step of a large network has hundreds of parameters.
    """
    torch._foreach_lerp_(list(follower.parameters()), list(leader.parameters()), 1 - keep)
