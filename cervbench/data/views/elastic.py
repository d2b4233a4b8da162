"""Elastic deformation: pixels displaced by smoothed noise."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cervbench.data.views import noise
from cervbench.data.views.blur import REFERENCE_SIZE, blurred, half_kernels
from cervbench.data.views.operation import Operation
from cervbench.data.views.retouch import per_image
from cervbench.data.views.transfer import on_device

_REACH = 4.0
"""How far the kernel reaches to either side, in sigmas, as in torchvision."""


@dataclass(frozen=True)
class Elastic(Operation):
    """Displacements by noise in -1..1 that is smoothed by a Gaussian, times alpha over the side.

    Alpha and sigma are in pixels of a view of 224. In a smaller view sigma scales with the side, and alpha
    with its square: noise on a coarser grid stays that much rougher when it is smoothed over the same part of
    the view. The parameters are alpha and the key of the noise.
    """

    alpha: tuple[float, float] = (50.0, 50.0)
    sigma: float = 5.0
    p: float = 0.5
    identity = (0.0, 0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive(*self.alpha, "alpha")
        self.require(self.sigma > 0, "sigma must be positive")

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return np.stack([rng.uniform(*self.alpha, count), rng.integers(noise.KEYS, size=count)], axis=1)

    def displacement(self, prepared: Tensor, size: int) -> Tensor:
        """How far each place of a view is moved, across and down, in -1..1: n × 2 × size × size."""
        alpha, keys = prepared.unbind(1)
        share = size / REFERENCE_SIZE
        sigma = self.sigma * share
        radius = min(int(np.ceil(_REACH * sigma)), size - 1)
        kernel = on_device(half_kernels(np.array([sigma]), radius), prepared.device)
        field = torch.stack(noise.uniform(keys, size**2), dim=1).view(-1, 2, size, size)
        return blurred(field, kernel).mul_(per_image(alpha * (share / REFERENCE_SIZE)))
