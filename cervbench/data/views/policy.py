"""A policy: operations in order, as one view of a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from cervbench.data.views import colour, geometry
from cervbench.data.views.blur import Blur
from cervbench.data.views.colour import LinearColour, Mixing
from cervbench.data.views.elastic import Elastic
from cervbench.data.views.geometry import Crop, Geometry
from cervbench.data.views.normalise import Normalise
from cervbench.data.views.operation import Operation, Together
from cervbench.data.views.pyramid import Pyramid
from cervbench.data.views.retouch import Retouching
from cervbench.data.views.sampling import Sampling, blocks, fitting_levels
from cervbench.data.views.sharpen import Sharpen
from cervbench.data.views.speckle import Speckle
from cervbench.data.views.tone import Equalise, Gamma
from cervbench.data.views.transfer import on_device
from cervbench.data.views.warp import Warp

_RETOUCHES = (Gamma, Equalise, Blur, Sharpen, Speckle)
_KINDS = (Geometry, Elastic, LinearColour, *_RETOUCHES)
_Part: TypeAlias = tuple[Operation, np.ndarray]


class View(Protocol):
    """One view of a batch. Drawn on the host, so that any device and any number of ranks sees the same."""

    def draw(self, rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        """Parameters of `count` images: float32 arrays, one row an image, a function of `rng` alone."""

    def apply(
        self, pixels: Pyramid, rows: Tensor, drawn: Mapping[str, np.ndarray], normalise: Normalise
    ) -> Tensor:
        """The view of these rows, which are on the host: float32, n × 3 × size × size.

        Each image depends on its own row alone. A method's own view may make more of an image.
        """


@dataclass(frozen=True)
class Policy:
    """Operations in the order that is theirs by kind; within a kind, as they are given.

    Geometry, and elastic after it; linear colour; gamma; equalising; blur; sharpening; speckle: light as
    it falls, then what an eye or a camera makes of it, and grain last, which no later step smooths away.
    """

    operations: Sequence[Operation | Together]

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", tuple(self.operations))
        for one in self.operations:
            for part in one.operations if isinstance(one, Together) else (one,):
                _require_kind(part)

    def draw(self, rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        arrays = [array for operation in self.operations for array in operation.draw(rng, count)]
        return dict(zip(self._keyed(), arrays, strict=True))

    def apply(
        self,
        pixels: Pyramid,
        rows: Tensor,
        drawn: Mapping[str, np.ndarray],
        normalise: Normalise,
        size: int | None = None,
        part: np.ndarray | None = None,
    ) -> Tensor:
        """The view, of another size than the training size if one is given.

        Of a `part` of each image, where there is one (n × 4, as `Pyramid.content` gives it): it is stretched
        to a square, and what lies further outside than its border pixels is not seen.
        """
        count, size, device = len(rows), size or pixels.size, pixels.device
        parts = self._parts(drawn, count)
        affine = geometry.composed((p.affine(at) for p, at in parts if isinstance(p, Geometry)), count)
        if part is not None:
            affine = Crop().affine(part) @ affine
        levels = fitting_levels(pixels, affine, size)
        order = np.argsort(levels, kind="stable")
        parts = [(p, at[order]) for p, at in parts]
        elastics = [(p, at) for p, at in parts if isinstance(p, Elastic)]
        warp = Warp(affine[order], elastics, size, device, None if part is None else part[order])
        sampling = Sampling(pixels, rows[torch.from_numpy(order)], levels[order], warp)
        of_kinds = [(p, at) for kind in _RETOUCHES for p, at in parts if isinstance(p, kind)]
        retouching = Retouching(of_kinds, normalise, size, device)
        matrices = colour.composed((p.matrices(at) for p, at in parts if isinstance(p, LinearColour)), count)
        mixing = Mixing(*matrices, retouching.space, device)
        home, views = on_device(order, device), torch.empty((count, 3, size, size), device=device)
        for block in blocks(count, size**2, device):
            some = mixing.mixed(sampling.sampled(block), block)
            views.index_copy_(0, home[block], retouching.retouched(some, block))
        return views

    def _parts(self, drawn: Mapping[str, np.ndarray], count: int) -> list[_Part]:
        """Simple operations with their parameters."""
        keyed = self._keyed()
        wrong = [key for key in keyed if key not in drawn or len(drawn[key]) != count]
        if wrong:
            raise ValueError(f"drawn must hold a row of {', '.join(wrong)} for each of the {count} images")
        return [(part, np.asarray(drawn[key], dtype=np.float64)) for key, part in keyed.items()]

    def _keyed(self) -> dict[str, Operation]:
        simple = (part for operation in self.operations for part in operation.simple)
        return {f"{place}_{type(part).__name__.lower()}": part for place, part in enumerate(simple)}


def _require_kind(part: object) -> None:
    if isinstance(part, Together):
        raise TypeError(f"{part!r} stands in another Together: give the outer one its operations, one by one")
    if not isinstance(part, _KINDS):
        raise TypeError(
            f"{part!r} is no operation that a policy can apply: take Crop, Flip, Rotation and the "
            "others of cervbench.plugin; what torchvision has is for a view of your own (its View)"
        )
