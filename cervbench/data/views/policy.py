"""A policy: operations in order, as one view of a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from cervbench.data.views import colour, geometry
from cervbench.data.views.blur import Blur
from cervbench.data.views.colour import Brightness, Contrast, Gamma, Greyscale, Hue, LinearColour, Saturation
from cervbench.data.views.geometry import Crop, Flip, Geometry, Rotation
from cervbench.data.views.normalise import Normalise
from cervbench.data.views.operation import Operation, Together
from cervbench.data.views.pyramid import Pyramid
from cervbench.data.views.sampling import sampled

_KINDS = (Geometry, LinearColour, Gamma, Blur)


class View(Protocol):
    """One view of a batch. Drawn on the host, so that any device and any number of ranks sees the same."""

    def draw(self, rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        """Parameters of `count` images: float32 arrays, one row an image, a function of `rng` alone."""

    def apply(
        self, pixels: Pyramid, rows: Tensor, drawn: Mapping[str, np.ndarray], normalise: Normalise
    ) -> Tensor:
        """The view of these rows, float32, n × 3 × size × size; each image depends on its own row alone."""


@dataclass(frozen=True)
class Policy:
    """Geometry first, then linear colour, gamma and blur; within a kind, operations in their order."""

    operations: Sequence[Operation | Together]

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", tuple(self.operations))
        for part in self._keyed().values():
            if not isinstance(part, _KINDS):
                kinds = ", ".join(kind.__name__ for kind in _KINDS)
                raise TypeError(f"{part!r} is no operation that a policy can apply: it must be a {kinds}")

    def draw(self, rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        arrays = [array for operation in self.operations for array in operation.draw(rng, count)]
        return dict(zip(self._keyed(), arrays, strict=True))

    def apply(
        self, pixels: Pyramid, rows: Tensor, drawn: Mapping[str, np.ndarray], normalise: Normalise
    ) -> Tensor:
        count = len(rows)
        keyed = self._keyed()
        wrong = [key for key in keyed if key not in drawn or len(drawn[key]) != count]
        if wrong:
            raise ValueError(f"drawn must hold a row of {', '.join(wrong)} for each of the {count} images")
        parts = [(part, np.asarray(drawn[key], dtype=np.float64)) for key, part in keyed.items()]
        affine = geometry.composed((p.affine(at) for p, at in parts if isinstance(p, Geometry)), count)
        matrices = colour.composed((p.matrices(at) for p, at in parts if isinstance(p, LinearColour)), count)
        gammas = [at for p, at in parts if isinstance(p, Gamma)]
        views = colour.recoloured(sampled(pixels, rows, affine), *matrices, gammas, normalise)
        for part, at in parts:
            if isinstance(part, Blur):
                views = part.blur_(views, at)
        return views

    def _keyed(self) -> dict[str, Operation]:
        simple = (part for operation in self.operations for part in operation.simple)
        return {f"{place}_{type(part).__name__.lower()}": part for place, part in enumerate(simple)}


def simclr_policy() -> Policy:
    """SimCLR's views, for cells: these have no upright, so all eight turns and mirrors of the square.

    Turns are quarters, for a free one would fill corners with a smeared border.
    """
    return Policy(
        (
            Crop(scale=(0.2, 1.0)),
            Flip(),
            Rotation(step=90),
            Together((Brightness(0.4), Contrast(0.4), Saturation(0.2), Hue(0.1)), p=0.8),
            Greyscale(p=0.2),
            Blur(sigma=(0.1, 2.0), p=0.5),
        )
    )


def plain_policy() -> Policy:
    """For supervised training: crops that keep the shape by which cells are told apart, and flips."""
    return Policy((Crop(scale=(0.6, 1.0), ratio=(1.0, 1.0)), Flip()))
