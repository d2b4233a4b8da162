"""Reference rows: how far one gets without looking at the cell."""

import torch
from torch import Tensor

from cervbench.plugin import Method


class Majority(Method):
    def features(self, images: Tensor, native_size: Tensor) -> Tensor:
        return torch.zeros(len(images), 1)


class ImageSize(Method):
    """A crop is as large as the cell it was cut around, so its size alone can give a class away."""

    def features(self, images: Tensor, native_size: Tensor) -> Tensor:
        size = native_size.log()
        return torch.cat([size, size**2, size.prod(1, keepdim=True)], 1)


class ColourHistogram(Method):
    """The share of pixels in each of 6 × 6 × 6 bins of the colour cube, as square roots (Hellinger)."""

    LEVELS = 6

    def features(self, images: Tensor, native_size: Tensor) -> Tensor:
        level = (images * self.LEVELS).long().clamp(0, self.LEVELS - 1)
        bins = (level[:, 0] * self.LEVELS + level[:, 1]) * self.LEVELS + level[:, 2]
        counts = torch.stack([torch.bincount(one.flatten(), minlength=self.LEVELS**3) for one in bins])
        return (counts / bins[0].numel()).sqrt()
