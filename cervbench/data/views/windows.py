"""Windows: several places of each image, cut out at any size; of views that no policy makes."""

import numpy as np
import torch
from torch import Tensor

from cervbench.data.views.pyramid import Pyramid
from cervbench.data.views.sampling import Sampling, blocks, fitting_levels
from cervbench.data.views.transfer import on_device
from cervbench.data.views.warp import Warp


def windows(pixels: Pyramid, rows: Tensor, affines: np.ndarray, size: int) -> Tensor:
    """Stored values, float32 in 0..255, n × k × 3 × size × size: k windows of each of the rows.

    The affines, n × k × 3 × 3, say where in the image each place of a window lies, in -1..1: what
    `Crop().affine` makes of left, top, width and height. An image is read once, at the level that fits the
    window that magnifies it most. Rows come on the host. The border is repeated outside.
    """
    count, each = affines.shape[:2]
    flat = affines.reshape(-1, 3, 3)
    levels = fitting_levels(pixels, flat, size).reshape(count, each).max(axis=1)
    order = np.argsort(levels, kind="stable")
    stack = _Stack(affines[order], size, pixels.device)
    sampling = Sampling(pixels, rows[torch.from_numpy(order)], levels[order], stack)
    home = on_device(order, pixels.device)
    cut = torch.empty((count, each, 3, size, size), device=pixels.device)
    for block in blocks(count, each * size**2, pixels.device):
        tall = sampling.sampled(block)
        cut.index_copy_(0, home[block], tall.unflatten(2, (each, size)).transpose(1, 2))
    return cut


class _Stack:
    """The windows of an image one above the other, as a warp of one tall view."""

    def __init__(self, affines: np.ndarray, size: int, device: torch.device) -> None:
        count, self._each = affines.shape[:2]
        self._size = size
        self._flat = Warp(affines.reshape(-1, 3, 3), (), size, device)
        self.still = np.zeros(count, dtype=bool)

    def places(self, block: slice) -> Tensor:
        flat = self._flat.places(slice(block.start * self._each, block.stop * self._each))
        return flat.reshape(-1, self._each * self._size, self._size, 2)
