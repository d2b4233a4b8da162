"""An operation of a policy: what it draws, and for which images. Its kind decides how that is applied."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from cervbench.data.views.transfer import on_device


class Operation(ABC):
    """Draws a row of parameters for each image; those of an image that it spares change nothing."""

    identity: ClassVar[tuple[float, ...]]
    """The parameters that change nothing."""
    p: float = 1.0
    """The chance that it applies to an image."""

    def __post_init__(self) -> None:
        _require_chance(self, self.p)

    def require(self, holds: bool, demand: str) -> None:
        if not holds:
            raise ValueError(f"{self!r}: {demand}")

    def require_positive(self, low: float, high: float, what: str) -> None:
        self.require(0 < low <= high, f"{what} must be positive and ascend")

    @property
    def simple(self) -> "tuple[Operation, ...]":
        """The operations that it consists of: itself alone."""
        return (self,)

    def draw(self, rng: np.random.Generator, count: int) -> list[np.ndarray]:
        """The parameters of each simple operation, count × the length of its identity."""
        applies = rng.random(count) < self.p
        return [_where(applies, self.sample(rng, count), self.identity)]

    def applies(self, parameters: np.ndarray) -> np.ndarray:
        """Which images have parameters that change something."""
        return (parameters != self.identity).any(axis=1)

    def prepared(self, parameters: np.ndarray, size: int) -> np.ndarray:
        """The parameters in the form that views of this size need: kernels in place of a sigma, say."""
        return parameters

    @abstractmethod
    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Parameters as if it applied to every image; how many numbers are drawn depends on `count` alone."""


@dataclass(frozen=True)
class Together:
    """Operations that apply to an image all together or not at all, as the colour jitter of SimCLR does."""

    operations: Sequence[Operation]
    p: float = 1.0

    def __post_init__(self) -> None:
        _require_chance(self, self.p)

    @property
    def simple(self) -> tuple[Operation, ...]:
        return tuple(self.operations)

    def draw(self, rng: np.random.Generator, count: int) -> list[np.ndarray]:
        applies = rng.random(count) < self.p
        return [
            _where(applies, parameters, operation.identity)
            for operation in self.operations
            for parameters in operation.draw(rng, count)
        ]


class Drawn:
    """Which images of a batch an operation applies to, and its prepared parameters for each of them.

    Both are copied to the device once, for the whole batch, and then taken block by block.
    """

    def __init__(self, operation: Operation, parameters: np.ndarray, size: int, device: torch.device) -> None:
        self.applies = operation.applies(parameters)
        self._images = np.flatnonzero(self.applies)
        self._on_device = on_device(self._images, device)
        self._prepared = on_device(operation.prepared(parameters[self._images], size), device)

    def within(self, block: slice) -> tuple[Tensor, Tensor] | None:
        """Their places in the block, and the prepared parameters; None where the block has none of them."""
        start, end = np.searchsorted(self._images, (block.start, block.stop))
        if start == end:
            return None
        return self._on_device[start:end] - block.start, self._prepared[start:end]


def log_uniform(
    rng: np.random.Generator, low: float | np.ndarray, high: float | np.ndarray, count: int
) -> np.ndarray:
    """Factors whose logarithm is uniform, so that halving is as likely as doubling."""
    return np.exp(rng.uniform(np.log(low), np.log(high), count))


def _require_chance(owner: Operation | Together, p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"{owner!r}: p must lie in 0..1")


def _where(applies: np.ndarray, parameters: np.ndarray, identity: tuple[float, ...]) -> np.ndarray:
    """The parameters of the images that it applies to; those of all others change nothing."""
    return np.where(applies[:, None], parameters, identity).astype(np.float32)
