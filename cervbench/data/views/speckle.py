"""Speckle: noise in proportion to the light."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from cervbench.data.views import noise
from cervbench.data.views.normalise import Normalise
from cervbench.data.views.retouch import Retouch, per_image


@dataclass(frozen=True)
class Speckle(Retouch):
    """Each value plus itself times normal noise of standard deviation sigma.

    Every channel of every pixel has its own noise, whatever the size of the view. The parameters are sigma
    and the key of the noise.
    """

    sigma: tuple[float, float] = (0.1, 0.1)
    p: float = 0.5
    identity = (0.0, 0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive(*self.sigma, "sigma")

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return np.stack([rng.uniform(*self.sigma, count), rng.integers(noise.KEYS, size=count)], axis=1)

    def retouched(self, views: Tensor, prepared: Tensor, space: Normalise) -> Tensor:
        sigma, keys = prepared.unbind(1)
        grain = noise.normal(keys, views[0].numel()).view_as(views)
        return space.clamp_(views.addcmul_(views, grain.mul_(per_image(sigma))))
