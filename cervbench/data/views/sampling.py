"""Sampling: views taken through a warp, each from the level that fits its magnification."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cervbench.data.views.pyramid import Pyramid
from cervbench.data.views.transfer import on_device
from cervbench.data.views.warp import Warp

_IN_CACHE, _IN_MEMORY = 2**17, 2**26
"""How many pixels of views are sampled at once: on a CPU, whose cache doubles the speed, and elsewhere."""


def fitting_levels(pixels: Pyramid, affine: np.ndarray, size: int) -> np.ndarray:
    """For each image the smallest level in which a pixel of the view covers at least one pixel.

    Where there is none it is the finest level. The side of what a pixel covers is the geometric mean over
    directions; the levels are √2 apart, so it is between 1 and √2.
    """
    share = np.sqrt(np.abs(np.linalg.det(affine[:, :2, :2])))
    wanted = size / np.maximum(share, 1e-6)
    rounding = 1 + 1e-6
    levels = np.searchsorted(np.asarray(pixels.sides) * rounding, wanted)
    return np.minimum(levels, len(pixels.sides) - 1)


@dataclass(frozen=True)
class Sampling:
    """A batch whose images stand in the order of their levels, to be sampled block by block."""

    pixels: Pyramid
    rows: Tensor
    """On the host, as everything is that decides what is read."""
    levels: np.ndarray
    """The level that each image is sampled from, ascending."""
    warp: Warp

    def sampled(self, block: slice) -> Tensor:
        """Views in stored values, float32 in 0..255, n × 3 × size × size; outside, the border is repeated."""
        rows, places = self.rows[block], self.warp.places(block)
        bounds = np.searchsorted(self.levels[block], np.arange(len(self.pixels.sides) + 1)).tolist()
        views = []
        for level, (start, end) in enumerate(pairwise(bounds)):
            if start < end:
                images = self.pixels.level(level, rows[start:end]).float()
                views.append(
                    F.grid_sample(images, places[start:end], "bilinear", "border", align_corners=False)
                )
        return self._still_exact(views[0] if len(views) == 1 else torch.cat(views), block)

    def _still_exact(self, views: Tensor, block: slice) -> Tensor:
        """Copies images that do not move: the places sampled are a hundred-thousandth of a pixel off."""
        still = np.flatnonzero(self.warp.still[block])
        if len(still) and self.warp.size == self.pixels.size:
            unmoved = self.pixels.level(0, self.rows[block][torch.from_numpy(still)])
            views.index_copy_(0, on_device(still, views.device), unmoved.float())
        return views


def blocks(count: int, pixels: int, device: torch.device) -> list[slice]:
    """Blocks small enough that all intermediate results stay in the CPU cache; larger ones on a GPU."""
    at_once = max(1, (_IN_CACHE if device.type == "cpu" else _IN_MEMORY) // pixels)
    return [slice(start, min(start + at_once, count)) for start in range(0, count, at_once)]
