"""Sharpening."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from cervbench.data.views.normalise import Normalise
from cervbench.data.views.retouch import Retouch, an_image

_CENTRE, _WHOLE = 5, 13
"""Of the kernel that smooths: five in the middle, one at each of the eight beside it."""


@dataclass(frozen=True)
class Sharpen(Retouch):
    """Away from its neighbours by a factor: 1 changes nothing, 0 smooths; the outermost pixels stay.

    The neighbours are the eight next to a pixel, whatever the size of the view.
    """

    factor: tuple[float, float] = (2.0, 2.0)
    p: float = 0.5
    identity = (1.0,)
    needs_values: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.factor[0] <= self.factor[1], "factors must ascend from 0 or more")

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.uniform(*self.factor, (count, 1))

    def retouched(self, views: Tensor, needed: Tensor, space: Normalise) -> Tensor:
        if views.shape[-1] < 3:
            return views
        rows = views[:, :, :-2] + views[:, :, 1:-1] + views[:, :, 2:]
        square = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
        inner = views[:, :, 1:-1, 1:-1]
        smooth = square.add_(inner, alpha=_CENTRE - 1).div_(_WHOLE)
        inner.addcmul_(inner - smooth, an_image(needed[:, 0] - 1))
        return space.clamp_(views)
