"""What an encoder expects of its input."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from cervbench.data.views.transfer import on_device

WHITE = 255
"""The largest stored value."""


@dataclass(frozen=True)
class Normalise:
    """The mean and standard deviation, of images in 0..1, that an encoder's input is normalised by."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @cached_property
    def scale(self) -> np.ndarray:
        """The encoder's input is a stored value times this, plus `shift`."""
        return 1 / (WHITE * np.asarray(self.std, dtype=np.float64))

    @cached_property
    def shift(self) -> np.ndarray:
        return -np.asarray(self.mean, dtype=np.float64) / np.asarray(self.std, dtype=np.float64)

    def __call__(self, images: Tensor) -> Tensor:
        """The encoder's input, from float images of stored values in 0..255."""
        scale, shift = (on_device(each, images.device)[:, None, None] for each in (self.scale, self.shift))
        return self.clamp_(images.mul(scale).add_(shift))

    def clamp_(self, images: Tensor) -> Tensor:
        """Clamp the encoder's input between black and white, in place."""
        black, white = self.shift, self.shift + WHITE * self.scale
        # Channel by channel, because clamp is ten times slower when its bounds are tensors.
        for channel in range(3):
            images[:, channel].clamp_(float(black[channel]), float(white[channel]))
        return images


UNIT = Normalise(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
"""Images as they are, in 0..1."""
