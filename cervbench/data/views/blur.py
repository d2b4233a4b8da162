"""Gaussian blur, with its own sigma for each image that it applies to."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from cervbench.data.views.normalise import Normalise
from cervbench.data.views.retouch import Retouch

REFERENCE_SIZE = 224
"""The side of a view, in pixels, that lengths in the literature refer to."""
_REACH = 3.0
"""How far the kernel reaches to either side, in units of the largest sigma that can be drawn."""


@dataclass(frozen=True)
class Blur(Retouch):
    """Gaussian blur; sigma is uniform, in pixels of a view of 224, and scaled to the view at hand."""

    sigma: tuple[float, float] = (0.1, 2.0)
    p: float = 0.5
    identity = (0.0,)
    needs_values: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive(*self.sigma, "sigma")

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.uniform(*self.sigma, (count, 1))

    def radius(self, size: int) -> int:
        """How many pixels the kernel reaches to either side, the same for all images."""
        widest = self.sigma[1] * size / REFERENCE_SIZE
        return min(max(1, int(np.ceil(_REACH * widest))), size - 1)

    def prepared(self, parameters: np.ndarray, size: int) -> np.ndarray:
        return half_kernels(parameters[:, 0] * size / REFERENCE_SIZE, self.radius(size))

    def retouched(self, views: Tensor, prepared: Tensor, space: Normalise) -> Tensor:
        return blurred(views, prepared)


def half_kernels(sigma: np.ndarray, radius: int) -> np.ndarray:
    """Gaussians from their middle outwards to `radius`, where they are cut off: a row for each sigma."""
    half = np.exp(-0.5 * (np.arange(radius + 1) / sigma[:, None]) ** 2)
    return half / (half[:, :1] + 2 * half[:, 1:].sum(axis=1, keepdims=True))


def blurred(views: Tensor, half: Tensor) -> Tensor:
    """Each view smoothed by its own kernel, or all by a single one; the border is reflected."""
    return _smoothed(_smoothed(views, half, 3), half, 2)


def _smoothed(views: Tensor, half: Tensor, along: int) -> Tensor:
    """Each view smoothed along one axis by its symmetric kernel.

    Shifted copies are summed: for kernels this short that is as fast as a convolution, and neither
    autocast nor TF32 rounds it.
    """
    size, radius = views.shape[along], half.shape[1] - 1
    margin = (radius, radius, 0, 0) if along == 3 else (0, 0, radius, radius)
    padded = F.pad(views, margin, mode="reflect")
    weights = half[:, :, None, None, None].unbind(1)
    smoothed = views * weights[0]
    for offset in range(1, radius + 1):
        before, after = (padded.narrow(along, radius + by, size) for by in (-offset, offset))
        smoothed.addcmul_(before + after, weights[offset])
    return smoothed
