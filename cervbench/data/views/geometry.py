"""Geometry: operations that are affine maps from the view to the image, in coordinates of -1..1.

The first operation of a policy is done to the image first. All of them compose into a single affine map.
"""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cervbench.data.views.operation import Operation, log_uniform


class Geometry(Operation):
    """An operation that moves pixels."""

    @abstractmethod
    def affine(self, parameters: np.ndarray) -> np.ndarray:
        """The maps from places in its output to places in its input: count × 3 × 3."""


@dataclass(frozen=True)
class Crop(Geometry):
    """A rectangle of the image, stretched over the view; left, top, width, height as shares of the side.

    The area is uniform in `scale`; the aspect ratio is log-uniform in `ratio`, as far as it fits the image.
    """

    scale: tuple[float, float] = (0.2, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    p: float = 1.0
    identity = (0.0, 0.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 < self.scale[0] <= self.scale[1] <= 1, "scale must ascend within 0..1")
        self.require(0 < self.ratio[0] <= 1 <= self.ratio[1], "ratio must ascend and hold 1")

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        area = rng.uniform(*self.scale, count)
        narrowest, widest = np.maximum(self.ratio[0], area), np.minimum(self.ratio[1], 1 / area)
        ratio = log_uniform(rng, narrowest, widest, count)
        size = np.minimum(np.sqrt(area[:, None] * np.stack([ratio, 1 / ratio], axis=1)), 1)
        corner = rng.random((count, 2)) * (1 - size)
        return np.concatenate([corner, size], axis=1)

    def affine(self, parameters: np.ndarray) -> np.ndarray:
        corner, size = parameters[:, :2], parameters[:, 2:]
        centre = 2 * corner + size - 1
        return _affine(size[:, 0], 0, centre[:, 0], 0, size[:, 1], centre[:, 1])


@dataclass(frozen=True)
class Flip(Geometry):
    """Mirrored left to right and top to bottom, each with its own chance."""

    horizontal: float = 0.5
    vertical: float = 0.5
    identity = (1.0, 1.0)
    """A direction that is mirrored has -1."""

    def __post_init__(self) -> None:
        chances = (self.horizontal, self.vertical)
        self.require(all(0 <= chance <= 1 for chance in chances), "chances must lie in 0..1")

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return np.where(rng.random((count, 2)) < (self.horizontal, self.vertical), -1.0, 1.0)

    def affine(self, parameters: np.ndarray) -> np.ndarray:
        return _affine(parameters[:, 0], 0, 0, 0, parameters[:, 1], 0)


@dataclass(frozen=True)
class Rotation(Geometry):
    """Counter-clockwise by up to ±`degrees`; or, with `step`, by one of its multiples, all equally likely."""

    degrees: float = 180.0
    step: float | None = None
    p: float = 1.0
    identity = (0.0,)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.degrees >= 0, "degrees must not be negative")
        whole = self.degrees == 180 and self.step is not None and self.step > 0 and 360 % self.step == 0
        self.require(self.step is None or whole, "a step must divide 360, and needs degrees=180")

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        angle = rng.uniform(-self.degrees, self.degrees, (count, 1))
        return angle if self.step is None else np.round(angle / self.step) * self.step

    def affine(self, parameters: np.ndarray) -> np.ndarray:
        angle = np.deg2rad(parameters[:, 0])
        cos, sin = np.cos(angle), np.sin(angle)
        return _affine(cos, -sin, 0, sin, cos, 0)


@dataclass(frozen=True)
class Shift(Geometry):
    """Moved right and down, each by up to ± `by`, a share of the side; the border is repeated."""

    by: float = 0.1
    p: float = 1.0
    identity = (0.0, 0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.by >= 0, "by must not be negative")

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.uniform(-self.by, self.by, (count, 2))

    def affine(self, parameters: np.ndarray) -> np.ndarray:
        return _affine(1, 0, -2 * parameters[:, 0], 0, 1, -2 * parameters[:, 1])


@dataclass(frozen=True)
class Zoom(Geometry):
    """Magnified about the centre by a log-uniform factor; below 1 the border is repeated.

    Factors below 1/√2 are refused: no image is kept smaller than its views, so sampling would skip pixels.
    """

    factor: tuple[float, float] = (0.8, 1.25)
    p: float = 1.0
    identity = (1.0,)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive(*self.factor, "factors")
        dense = min(self.factor) >= 0.5**0.5
        self.require(dense, "factors must be 0.71 or more, for less would pass over pixels")

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return log_uniform(rng, *self.factor, count)[:, None]

    def affine(self, parameters: np.ndarray) -> np.ndarray:
        return _affine(1 / parameters[:, 0], 0, 0, 0, 1 / parameters[:, 0], 0)


def composed(affines: Iterable[np.ndarray], count: int) -> np.ndarray:
    """One affine map per image, from its view to itself; the operations come in the order they are done."""
    whole = np.broadcast_to(np.eye(3), (count, 3, 3))
    for affine in affines:
        whole = whole @ affine
    return whole


def _affine(*rows: float | np.ndarray) -> np.ndarray:
    """Matrices from their first two rows, entry by entry; an entry is one number, or one per image."""
    entries = np.broadcast_arrays(*rows, 0.0, 0.0, 1.0)
    return np.stack(entries, axis=-1).astype(np.float64).reshape(-1, 3, 3)
