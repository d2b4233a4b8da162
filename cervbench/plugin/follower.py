"""A network that follows another: the target of BYOL, the key encoder of MoCo, the teacher of DINO."""

import copy
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from cervbench.plugin.method import Progress


class Follower(nn.Module):
    """Begins as its leader is, and moves a little towards it after each step; no gradient enters it.

    It keeps `keep` of itself in a step, and less in a short stage, so that it moves too: it remembers no
    longer than the share `memory` of the steps. Where what it keeps is `rising`, it does so on half a cosine,
    up to all of itself at the end.
    """

    def __init__(self, leader: nn.Module, keep: float, memory: float, rising: bool = False) -> None:
        super().__init__()
        self.network = copy.deepcopy(leader).requires_grad_(False)
        self.keep, self.memory, self.rising = keep, memory, rising

    @torch.no_grad()
    def forward(self, *inputs: Any) -> Any:
        return self.network(*inputs)

    @torch.no_grad()
    def follow(self, leader: nn.Module, progress: "Progress") -> None:
        """Each parameter becomes kept · its own + (1 - kept) · the leader's; buffers are left alone.

        All in one launch, for a step of a large network has hundreds of parameters.
        """
        kept = self.kept(progress)
        torch._foreach_lerp_(list(self.network.parameters()), list(leader.parameters()), 1 - kept)

    def kept(self, progress: "Progress") -> float:
        """Of itself in this step."""
        first = self.kept_at_first(progress.steps)
        if not self.rising:
            return first
        return 1 - (1 - first) * (1 + math.cos(math.pi * progress.share)) / 2

    def kept_at_first(self, steps: int) -> float:
        """Of itself in the first step of so many."""
        return min(self.keep, 1 - 1 / max(1.0, self.memory * steps))
