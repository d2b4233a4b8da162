"""Sampling: views at the places that an affine names, each from the level that fits its magnification."""

from collections import defaultdict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cervbench.data.views.pyramid import Pyramid

_PIXELS_AT_ONCE = defaultdict(lambda: 2**24, cpu=2**18)
"""Of a level, as floats: on a processor what its cache holds, which makes it twice as fast."""


def sampled(pixels: Pyramid, rows: Tensor, affine: np.ndarray) -> Tensor:
    """Views of stored values, float32 in 0..255, n × 3 × size × size; the border is repeated outside."""
    levels = fitting_levels(pixels, affine)
    order = np.argsort(levels, kind="stable")
    bounds = np.searchsorted(levels[order], np.arange(len(pixels.sides) + 1))
    ordered_rows = rows[torch.from_numpy(order)].to(pixels.device)
    places = _places(affine[order], pixels)
    views = torch.empty((len(rows), 3, pixels.size, pixels.size), device=pixels.device)
    for level, side in enumerate(pixels.sides):
        at_once = max(1, _PIXELS_AT_ONCE[pixels.device.type] // side**2)
        for start in range(bounds[level], bounds[level + 1], at_once):
            some = slice(start, min(start + at_once, bounds[level + 1]))
            images = pixels.level(level, ordered_rows[some]).float()
            views[some] = F.grid_sample(images, places[some], "bilinear", "border", align_corners=False)
    views = views.index_select(0, torch.from_numpy(np.argsort(order)).to(pixels.device))
    return _still_exact(views, pixels, rows, affine)


def _still_exact(views: Tensor, pixels: Pyramid, rows: Tensor, affine: np.ndarray) -> Tensor:
    """Places are floats and a hundred-thousandth of a pixel off: what does not move is copied instead."""
    still = torch.from_numpy(np.flatnonzero((affine == np.eye(3)).all(axis=(1, 2))))
    if len(still):
        views.index_copy_(0, still.to(pixels.device), pixels.level(0, rows[still]).float())
    return views


def fitting_levels(pixels: Pyramid, affine: np.ndarray) -> np.ndarray:
    """The smallest level of which a view's step is a pixel or more; the finest where none is fine enough.

    The step is the geometric mean over directions, so that it is between 1 and √2 pixels.
    """
    share = np.sqrt(np.abs(np.linalg.det(affine[:, :2, :2])))
    wanted = pixels.size / np.maximum(share, 1e-6)
    rounding = 1 + 1e-6
    levels = np.searchsorted(np.asarray(pixels.sides) * rounding, wanted)
    return np.minimum(levels, len(pixels.sides) - 1)


def _places(affine: np.ndarray, pixels: Pyramid) -> Tensor:
    """Where to sample, n × size × size × 2, in -1..1."""
    theta = torch.from_numpy(affine[:, :2].astype(np.float32)).to(pixels.device)[:, None, None]
    centres = (torch.arange(pixels.size, device=pixels.device) * 2 + 1) / pixels.size - 1
    across, down, offset = theta.unbind(-1)
    return across * centres[:, None] + (down * centres[:, None, None] + offset)
