"""Tone: operations that map each value to another, whatever its neighbours are."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cervbench.data.views.normalise import WHITE, Normalise
from cervbench.data.views.retouch import Retouch, per_image

_VALUES = WHITE + 1


@dataclass(frozen=True)
class Gamma(Retouch):
    """Values in 0..1 raised to the power of a factor."""

    factor: tuple[float, float] = (0.7, 1.4)
    p: float = 1.0
    identity = (1.0,)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive(*self.factor, "factors")

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.uniform(*self.factor, (count, 1))

    def retouched(self, views: Tensor, prepared: Tensor, space: Normalise) -> Tensor:
        return views.pow_(per_image(prepared[:, 0]))


@dataclass(frozen=True)
class Equalise(Retouch):
    """Each channel's values spread until all are about equally frequent, in whole grey levels."""

    p: float = 0.5
    identity = (0.0,)
    """An image that is equalised has the parameter 1."""

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return np.ones((count, 1))

    def retouched(self, views: Tensor, prepared: Tensor, space: Normalise) -> Tensor:
        values = views.flatten(2).mul_(WHITE).round_().long()
        counts = torch.zeros((*values.shape[:2], _VALUES), dtype=torch.long, device=views.device)
        counts.scatter_add_(
            2, values, torch.ones((), dtype=torch.long, device=views.device).expand_as(values)
        )
        return _equalising(counts).div_(WHITE).gather(2, values).view_as(views)


def _equalising(counts: Tensor) -> Tensor:
    """What each grey level becomes, by Pillow's rule, which torchvision follows.

    A step is a 255th of the pixels, not counting those of the brightest level that occurs. A channel where
    that is less than one pixel stays as it is.
    """
    levels = torch.arange(_VALUES, device=counts.device)
    brightest = torch.where(counts > 0, levels, 0).amax(dim=2, keepdim=True)
    step = (counts.sum(2, keepdim=True) - counts.gather(2, brightest)) // WHITE
    below = counts.cumsum(2) - counts
    spread = ((below + step // 2) // step.clamp(min=1)).clamp_(max=WHITE)
    return torch.where(step > 0, spread, levels).float()
