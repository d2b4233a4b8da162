"""Gaussian blur, with a sigma of its own for each image that draws one."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cervbench.data.views.operation import Operation

REFERENCE_SIZE = 224
"""Literature gives sigma in pixels of views of this size."""
_REACH = 3.0
"""Half the kernel, in the largest sigma that the operation can draw."""


@dataclass(frozen=True)
class Blur(Operation):
    """Gaussian, sigma uniform in pixels of a view of 224, scaled to the view at hand; 0 is none."""

    sigma: tuple[float, float] = (0.1, 2.0)
    p: float = 0.5
    identity = (0.0,)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 < self.sigma[0] <= self.sigma[1], "sigma must be positive and ascend")

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.uniform(*self.sigma, (count, 1))

    def radius(self, size: int) -> int:
        """Pixels to either side of the kernel's middle, the same for all images."""
        widest = self.sigma[1] * size / REFERENCE_SIZE
        return min(max(1, int(np.ceil(_REACH * widest))), size - 1)

    def blur_(self, views: Tensor, parameters: np.ndarray) -> Tensor:
        """Blur in place those views that drew it."""
        size = views.shape[-1]
        chosen = np.flatnonzero(parameters[:, 0])
        sigma = parameters[chosen] * size / REFERENCE_SIZE
        offsets = np.arange(self.radius(size) + 1)
        half = np.exp(-0.5 * (offsets / sigma) ** 2)
        half /= half[:, :1] + 2 * half[:, 1:].sum(axis=1, keepdims=True)
        weights = torch.from_numpy(half.astype(np.float32)).to(views.device)
        where = torch.from_numpy(chosen).to(views.device)
        blurred = _smoothed(_smoothed(views.index_select(0, where), weights, 3), weights, 2)
        return views.index_copy_(0, where, blurred)


def _smoothed(views: Tensor, half: Tensor, along: int) -> Tensor:
    """Each view through its symmetric kernel along one axis; the border is reflected.

    Shifted sums and no convolution: as fast for kernels this short, and neither autocast nor
    TF32 reaches them.
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
