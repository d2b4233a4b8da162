"""Images at a ladder of sizes, from which any crop or turn is sampled once and without aliasing."""

from copy import copy
from math import inf, sqrt

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cervbench.data.stored import StoredImages
from cervbench.data.views.normalise import Normalise
from cervbench.data.views.transfer import on_device

_IMAGES_AT_ONCE = 256


class Pyramid:
    """Square images at ascending sizes, from the training size up, in steps of √2.

    Images are resized on the host, antialiased and in whole grey levels, so that every device sees the same
    bits. The smallest sizes, as many as fit into `budget` bytes together, stay on the device once they are
    made; at the others an image is read and resized whenever it is asked for. `content` says where in its
    square each image lies; without it an image fills its square.
    """

    def __init__(
        self,
        stored: np.ndarray | StoredImages,
        size: int,
        device: torch.device | str = "cpu",
        budget: float = inf,
        content: np.ndarray | None = None,
    ) -> None:
        if stored.dtype != np.uint8 or not _square(stored.shape):
            raise ValueError(
                f"a pyramid stands on uint8 images N × S × S × 3, not {stored.dtype} of shape {stored.shape}"
            )
        if size < 1:
            raise ValueError(f"views of {size} pixels cannot be; the size must be 1 or more")
        self._stored, self._rows = stored, np.arange(len(stored))
        self._content = np.tile((0.0, 0.0, 1.0, 1.0), (len(stored), 1)) if content is None else content
        self.sides = tuple(ladder(size, stored.shape[1]))
        self.device = torch.device(device)
        fitting = _fitting(self.sides, len(stored), budget)
        self._kept = [_Kept(len(stored), side, self.device) for side in fitting]

    @property
    def size(self) -> int:
        """The side of the images that are trained on."""
        return self.sides[0]

    def __len__(self) -> int:
        return len(self._rows)

    def of(self, rows: np.ndarray) -> "Pyramid":
        """A pyramid of these images alone, as rows 0, 1, 2, …; it shares the pixels of this one."""
        chosen = copy(self)
        chosen._rows = self._rows[rows]
        return chosen

    def has_the_rows_of(self, other: "Pyramid") -> bool:
        return self._stored is other._stored and np.array_equal(self._rows, other._rows)

    def level(self, k: int, rows: Tensor) -> Tensor:
        """Images at the k-th size: uint8, n × 3 × side × side. `rows` is a tensor on the host."""
        wanted = self._rows[rows.numpy()]
        if k >= len(self._kept):
            return on_device(self._resized(wanted, self.sides[k]), self.device)
        kept = self._kept[k]
        for new in _pieces(kept.lacking(wanted)):
            kept.add(new, self._resized(new, self.sides[k]))
        return kept.images.index_select(0, on_device(wanted, self.device))

    def content(self, rows: Tensor) -> np.ndarray:
        """Where images lie in their padded squares: left, top, width and height, n × 4.

        These are shares of the side, as in the parameters of `Crop`. `rows` is a tensor on the host.
        """
        return self._content[self._rows[rows.numpy()]]

    def whole(self, rows: Tensor, normalise: Normalise) -> Tensor:
        """Unchanged images at the training size, as the encoder's input."""
        return normalise(self.level(0, rows).float())

    def expect(self, rows: np.ndarray) -> None:
        """Have these images read from disk ahead of time, because they are wanted next."""
        if isinstance(self._stored, StoredImages) and len(self._kept) < len(self.sides):
            self._stored.expect(self._rows[rows])

    def _resized(self, rows: np.ndarray, side: int) -> Tensor:
        stored = torch.from_numpy(self._stored[rows]).permute(0, 3, 1, 2)
        if side != stored.shape[-1]:
            stored = F.interpolate(stored, size=(side, side), mode="bilinear", antialias=True)
        return stored.contiguous()


class _Kept:
    """One level in the memory of a device; an image is added when it is first asked for."""

    def __init__(self, count: int, side: int, device: torch.device) -> None:
        self.images = torch.empty((count, 3, side, side), dtype=torch.uint8, device=device)
        self._there = np.zeros(count, dtype=bool)

    def lacking(self, rows: np.ndarray) -> np.ndarray:
        return np.unique(rows[~self._there[rows]])

    def add(self, rows: np.ndarray, images: Tensor) -> None:
        device = self.images.device
        self.images.index_copy_(0, on_device(rows, device), on_device(images, device))
        self._there[rows] = True


def ladder(size: int, stored: int) -> list[int]:
    """Sides from `size` up to `stored` in steps of √2; `size` alone where nothing larger is stored."""
    sides = [size]
    while round(size * sqrt(2) ** len(sides)) < stored:
        sides.append(round(size * sqrt(2) ** len(sides)))
    return sides if stored <= size else [*sides, stored]


def _square(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[1] == shape[2] and shape[3] == 3


def _fitting(sides: tuple[int, ...], count: int, budget: float) -> list[int]:
    """The smallest sides of which all images fit into the budget together."""
    sizes = np.cumsum([count * 3 * side**2 for side in sides])
    return [side for side, size in zip(sides, sizes, strict=True) if size <= budget]


def _pieces(rows: np.ndarray) -> list[np.ndarray]:
    """Rows in pieces, so that resizing them takes a bounded amount of memory."""
    return [rows[start : start + _IMAGES_AT_ONCE] for start in range(0, len(rows), _IMAGES_AT_ONCE)]
