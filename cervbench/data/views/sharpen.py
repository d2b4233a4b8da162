"""Sharpening."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from cervbench.data.views.normalise import Normalise
from cervbench.data.views.retouch import Retouch, per_image

_CENTRE, _WHOLE = 5, 13
"""The smoothing kernel has 5 in the middle and 1 for each of the eight neighbours, 13 in all."""


@dataclass(frozen=True)
class Sharpen(Retouch):
    """Each pixel moved away from its neighbours by a factor: 1 changes nothing, 0 smooths.

    The neighbours are the eight next to a pixel, whatever the size of the view. The outermost pixels stay.
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

    def retouched(self, views: Tensor, prepared: Tensor, space: Normalise) -> Tensor:
        if views.shape[-1] < 3:
            return views
        rows = views[:, :, :-2] + views[:, :, 1:-1] + views[:, :, 2:]
        square = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
        inner = views[:, :, 1:-1, 1:-1]
        smooth = square.add_(inner, alpha=_CENTRE - 1).div_(_WHOLE)
        inner.addcmul_(inner - smooth, per_image(prepared[:, 0] - 1))
        return space.clamp_(views)
