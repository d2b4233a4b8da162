"""A network that follows another: the target of BYOL, the key encoder of MoCo, the teacher of DINO."""

import copy
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from cervbench.error import first_few
from cervbench.plugin.problems import ContractError

if TYPE_CHECKING:
    from cervbench.plugin.method import Progress


class Follower(nn.Module):
    """An exponential moving average (EMA) of another network, its leader; no gradient flows into it.

    Each step keeps the share `keep`, a memory of about 1/(1 − keep) steps; lowered in short stages, so that
    memory never exceeds the share `memory` of the stage. If `rising`, the share rises along half a cosine,
    to 1 at the end.
    """

    def __init__(self, leader: nn.Module, keep: float, memory: float, rising: bool = False) -> None:
        super().__init__()
        if not (0 <= keep <= 1 and memory > 0):
            raise ContractError(
                "a Follower keeps a share of itself, 0 to 1, and remembers a share of the stage, above 0; "
                f"keep is {keep} and memory is {memory}"
            )
        self.network = copy.deepcopy(leader).requires_grad_(False)
        self.keep, self.memory, self.rising = keep, memory, rising

    @torch.no_grad()
    def forward(self, *inputs: Any) -> Any:
        return self.network(*inputs)

    @torch.no_grad()
    def follow(self, leader: nn.Module, progress: "Progress") -> None:
        """Each parameter becomes kept · its own + (1 - kept) · the leader's; buffers are left alone.

        All are updated in one launch, as a large network has hundreds of parameters.
        """
        own, others = (dict(network.named_parameters()) for network in (self.network, leader))
        if own.keys() != others.keys():
            strange = first_few(sorted(own.keys() ^ others.keys()))
            raise ContractError(
                f"a Follower follows the network that it is a copy of; only one of the two has {strange}"
            )
        kept = self.kept(progress)
        torch._foreach_lerp_(list(own.values()), list(others.values()), 1 - kept)

    def kept(self, progress: "Progress") -> float:
        """The share of itself that it keeps in this step."""
        first = self.kept_at_first(progress.steps)
        if not self.rising:
            return first
        return 1 - (1 - first) * (1 + math.cos(math.pi * progress.share)) / 2

    def kept_at_first(self, steps: int) -> float:
        """The share of itself that it keeps in the first step of a stage of this many steps."""
        return min(self.keep, 1 - 1 / max(1.0, self.memory * steps))
