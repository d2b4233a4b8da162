"""Images at a ladder of sizes, from which any crop or turn is sampled once and without aliasing."""

from collections.abc import Sequence
from math import sqrt

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cervbench.data.views.normalise import Normalise

_IMAGES_AT_ONCE = 256


class Pyramid:
    """Square images at ascending sizes; the first is the training size, each next √2 larger.

    Levels are made on the host by antialiased resizing in whole grey levels, so that every device
    holds the same bits. The last level is the stored images themselves.
    """

    def __init__(self, levels: Sequence[Tensor]) -> None:
        self._levels = tuple(levels)
        self.sides = tuple(level.shape[-1] for level in levels)

    @classmethod
    def resident(cls, images: np.ndarray, size: int, device: torch.device | str = "cpu") -> "Pyramid":
        """All levels in the memory of a device, of stored images uint8 N × S × S × 3."""
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (images.shape[1],) * 2 + (3,):
            raise ValueError(
                f"a pyramid stands on uint8 images N × S × S × 3, not {images.dtype} of shape {images.shape}"
            )
        if size < 1:
            raise ValueError(f"views of {size} pixels cannot be; the size must be 1 or more")
        sides = ladder(size, images.shape[1])
        levels = [
            torch.empty((len(images), 3, side, side), dtype=torch.uint8, device=device) for side in sides
        ]
        for start in range(0, len(images), _IMAGES_AT_ONCE):
            stored = torch.from_numpy(np.array(images[start : start + _IMAGES_AT_ONCE])).permute(0, 3, 1, 2)
            for level, side in zip(levels, sides, strict=True):
                level[start : start + len(stored)] = _resized(stored, side)
        return cls(levels)

    @property
    def size(self) -> int:
        """The side of images as trained on."""
        return self.sides[0]

    @property
    def device(self) -> torch.device:
        return self._levels[0].device

    def __len__(self) -> int:
        return len(self._levels[0])

    def of(self, rows: np.ndarray) -> "Pyramid":
        """These images alone, as rows 0, 1, 2, …; nothing is copied."""
        return _Part(self, rows)

    def level(self, k: int, rows: Tensor) -> Tensor:
        """Some images at the k-th size: uint8, n × 3 × side × side."""
        return self._levels[k].index_select(0, rows.to(self.device))

    def whole(self, rows: Tensor, normalise: Normalise) -> Tensor:
        """Some images as they are, at the training size, as the encoder's input."""
        return normalise(self.level(0, rows).float())


class _Part(Pyramid):
    """Some images of a pyramid, with no way to the others but by intent."""

    def __init__(self, whole: Pyramid, rows: np.ndarray) -> None:
        super().__init__(whole._levels)
        self._whole, self._rows = whole, torch.from_numpy(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def level(self, k: int, rows: Tensor) -> Tensor:
        return self._whole.level(k, self._rows[rows.cpu()])


def ladder(size: int, stored: int) -> list[int]:
    """Sides from `size` up to `stored` in steps of √2; `size` alone where nothing larger is stored."""
    sides = [size]
    while round(size * sqrt(2) ** len(sides)) < stored:
        sides.append(round(size * sqrt(2) ** len(sides)))
    return sides if stored <= size else [*sides, stored]


def _resized(stored: Tensor, side: int) -> Tensor:
    if side == stored.shape[-1]:
        return stored
    return F.interpolate(stored, size=(side, side), mode="bilinear", antialias=True)
