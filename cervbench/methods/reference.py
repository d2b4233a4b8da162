"""Reference rows: how far one comes without looking at the cell."""

import torch
from torch import Tensor

from cervbench.plugin import Method


class Majority(Method):
    def features(self, images: Tensor, native_size: Tensor) -> Tensor:
        return torch.zeros(len(images), 1)


class ImageSize(Method):
    """A crop is as large as what it was cut around, so its size alone can give a class away."""

    def features(self, images: Tensor, native_size: Tensor) -> Tensor:
        size = native_size.log()
        return torch.cat([size, size**2, size.prod(1, keepdim=True)], 1)


class ColourHistogram(Method):
    """Share of the pixels in each of 6 × 6 × 6 cells of the colour cube, as square roots (Hellinger)."""

    LEVELS = 6

    def features(self, images: Tensor, native_size: Tensor) -> Tensor:
        level = (images * self.LEVELS).long().clamp(0, self.LEVELS - 1)
        cell = (level[:, 0] * self.LEVELS + level[:, 1]) * self.LEVELS + level[:, 2]
        shares = torch.stack([torch.bincount(c.flatten(), minlength=self.LEVELS**3) for c in cell])
        return (shares / cell[0].numel()).sqrt()
