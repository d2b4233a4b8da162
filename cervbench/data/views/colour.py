"""Colour: linear operations, which compose into one matrix and are applied once.

A linear operation multiplies the mean colour of a view by one 3 × 3 matrix and the deviations from it by
another: contrast keeps the grey of the mean and scales everything else. So operations compose by
multiplying their matrices, and the mean has to be measured only once, on the view as sampled. Apart from
clamping, which happens once at the end, the operations commute, so fixing their order loses nothing.
"""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cervbench.data.views.normalise import Normalise
from cervbench.data.views.operation import Operation
from cervbench.data.views.transfer import on_device

_YIQ = np.array([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
_GREY = np.tile(_YIQ[0], (3, 1))
_CHROMA = np.eye(3) - _GREY
_QUARTER_TURN_OF_HUE = np.linalg.inv(_YIQ) @ np.array([[0, 0, 0], [0, 0, 1], [0, -1, 0]]) @ _YIQ
"""Turns chroma from red towards yellow, and sends grey to black."""


class LinearColour(Operation):
    """An operation that mixes channels."""

    @abstractmethod
    def matrices(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the deviations and the mean are multiplied by, count × 3 × 3 each."""


@dataclass(frozen=True)
class _Jitter(LinearColour):
    """A factor uniform in 1 ± strength."""

    strength: float = 0.4
    p: float = 1.0
    identity = (1.0,)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.strength >= 0, "strength must not be negative")

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.uniform(max(0.0, 1 - self.strength), 1 + self.strength, (count, 1))


@dataclass(frozen=True)
class Brightness(_Jitter):
    """Brightness multiplied by a factor in 1 ± strength."""

    def matrices(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scaled = _per_image(parameters) * np.eye(3)
        return scaled, scaled


@dataclass(frozen=True)
class Contrast(_Jitter):
    """The distance from the grey of the view's mean, multiplied by a factor in 1 ± strength."""

    def matrices(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _per_image(parameters) * np.eye(3), _saturated(parameters)


@dataclass(frozen=True)
class Saturation(_Jitter):
    """The distance from each pixel's own grey, multiplied by a factor in 1 ± strength."""

    def matrices(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _saturated(parameters), _saturated(parameters)


@dataclass(frozen=True)
class Hue(LinearColour):
    """Chroma turned in YIQ by up to ± `turn`, a share of the colour circle; up is from red towards yellow."""

    turn: float = 0.1
    p: float = 1.0
    identity = (0.0,)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.turn <= 0.5, "turn must lie in 0..0.5")

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.uniform(-self.turn, self.turn, (count, 1))

    def matrices(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        angle = 2 * np.pi * _per_image(parameters)
        turned = _GREY + np.cos(angle) * _CHROMA + np.sin(angle) * _QUARTER_TURN_OF_HUE
        return turned, turned


@dataclass(frozen=True)
class Greyscale(LinearColour):
    """Each pixel's grey in all three channels."""

    p: float = 0.2
    identity = (0.0,)
    """An image that is made grey has the parameter 1."""

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return np.ones((count, 1))

    def matrices(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _saturated(1 - parameters), _saturated(1 - parameters)


def composed(matrices: Iterable[tuple[np.ndarray, np.ndarray]], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Two matrices for each image, for its deviations and its mean: those of the operations multiplied."""
    deviation = mean = np.broadcast_to(np.eye(3), (count, 3, 3))
    for on_deviation, on_mean in matrices:
        deviation, mean = on_deviation @ deviation, on_mean @ mean
    return deviation, mean


class Mixing:
    """All linear colour of a policy, and the scaling of stored values into a space: one matrix per image."""

    def __init__(
        self, deviation: np.ndarray, mean: np.ndarray, space: Normalise, device: torch.device
    ) -> None:
        scale = space.scale[:, None]
        self._space = space
        self._columns = on_device(scale * deviation, device)[..., None, None]
        self._from_mean = on_device(scale * (mean - deviation), device)
        self._shift = on_device(space.shift, device)

    def mixed(self, views: Tensor, block: slice) -> Tensor:
        """Views with their new colours, clamped between black and white."""
        offset = (self._from_mean[block] * views.mean((2, 3))[:, None]).sum(2).add_(self._shift)
        # Elementwise, at little more than the cost of a matrix product, which autocast or TF32 would round.
        columns = self._columns[block].unbind(2)
        channels = views[:, None].unbind(2)
        mixed = columns[0] * channels[0]
        mixed.addcmul_(columns[1], channels[1]).addcmul_(columns[2], channels[2])
        return self._space.clamp_(mixed.add_(offset[..., None, None]))


def _saturated(factors: np.ndarray) -> np.ndarray:
    return _GREY + _per_image(factors) * _CHROMA


def _per_image(parameters: np.ndarray) -> np.ndarray:
    """One number per image, in a shape that multiplies 3 × 3 matrices."""
    return parameters[:, :, None]
