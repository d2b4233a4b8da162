"""An operation of a policy: what it draws for each image. How that is applied is its kind's matter."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np


class Operation(ABC):
    """Draws a row of parameters an image; an image that it spares has the parameters that change nothing."""

    identity: ClassVar[tuple[float, ...]]
    """The parameters that change nothing."""
    p: float = 1.0
    """The chance that it applies to an image."""

    def __post_init__(self) -> None:
        self.require(0 <= self.p <= 1, "p must lie in 0..1")

    def require(self, holds: bool, demand: str) -> None:
        if not holds:
            raise ValueError(f"{self!r}: {demand}")

    def require_positive(self, low: float, high: float, what: str) -> None:
        self.require(0 < low <= high, f"{what} must be positive and ascend")

    @property
    def simple(self) -> "tuple[Operation, ...]":
        """The operations it is made of: itself."""
        return (self,)

    def draw(self, rng: np.random.Generator, count: int) -> list[np.ndarray]:
        """Parameters of each simple operation: count × as many as its identity has."""
        applies = rng.random(count) < self.p
        return [np.where(applies[:, None], self.sample(rng, count), self.identity).astype(np.float32)]

    def applies(self, parameters: np.ndarray) -> np.ndarray:
        """Which images have parameters that change something."""
        return (parameters != self.identity).any(axis=1)

    def needed(self, parameters: np.ndarray, size: int) -> np.ndarray:
        """What must be known of images that it applies to, a row each, to apply it to views of a size."""
        return parameters

    @abstractmethod
    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Parameters for images that it applies to; how many numbers are drawn depends on `count` alone."""


@dataclass(frozen=True)
class Together:
    """Operations that apply together or not at all to an image, as the colour jitter of SimCLR."""

    operations: Sequence[Operation]
    p: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError(f"{self!r}: p must lie in 0..1")

    @property
    def simple(self) -> tuple[Operation, ...]:
        return tuple(self.operations)

    def draw(self, rng: np.random.Generator, count: int) -> list[np.ndarray]:
        applies = rng.random(count) < self.p
        return [
            np.where(applies[:, None], drawn, operation.identity).astype(np.float32)
            for operation in self.operations
            for drawn in operation.draw(rng, count)
        ]


def log_uniform(
    rng: np.random.Generator, low: float | np.ndarray, high: float | np.ndarray, count: int
) -> np.ndarray:
    """Factors whose logarithm is uniform, so that a half is as likely as a double."""
    return np.exp(rng.uniform(np.log(low), np.log(high), count))
