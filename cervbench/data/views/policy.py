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
from cervbench.data.views.retouch import Retouch, Retouching
from cervbench.data.views.sampling import Sampling, blocks, fitting_levels
from cervbench.data.views.sharpen import Sharpen
from cervbench.data.views.speckle import Speckle
from cervbench.data.views.tone import Equalise, Gamma
from cervbench.data.views.transfer import on_device
from cervbench.data.views.warp import Warp

_RETOUCHES = (Gamma, Equalise, Blur, Sharpen, Speckle)
"""In the order in which they are done."""
_KINDS = (Geometry, Elastic, LinearColour, *_RETOUCHES)
_WithParameters: TypeAlias = tuple[Operation, np.ndarray]
"""A simple operation, and its parameters for each image of a batch."""


class View(Protocol):
    """One view of a batch, drawn on the host: any device, and any number of ranks, sees the same."""

    def draw(self, rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        """Parameters of `count` images: float32 arrays with a row for each, a function of `rng` alone."""

    def apply(
        self, pixels: Pyramid, rows: Tensor, drawn: Mapping[str, np.ndarray], normalise: Normalise
    ) -> Tensor:
        """The view of these rows, which are on the host: float32, n × 3 × size × size.

        The view of an image depends on its own row alone. A method's own view may have another shape.
        """


@dataclass(frozen=True)
class Policy:
    """Operations, applied in an order that their kinds decide; those of one kind as they are given.

    The order is geometry, elastic, linear colour, gamma, equalising, blur, sharpening, speckle. It follows
    the light: how it falls, then what an eye or a camera makes of it, and last grain, which nothing after it
    may smooth away.
    """

    operations: Sequence[Operation | Together]

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", tuple(self.operations))
        for given in self.operations:
            for operation in given.operations if isinstance(given, Together) else (given,):
                _require_kind(operation)

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
        """The view, at the training size unless another `size` is given.

        `part` limits it to a box of each image (n × 4, as `Pyramid.content` gives it). The box is stretched
        to a square, and where the view reaches beyond the box, the pixels of its border are repeated.
        """
        count, size, device = len(rows), size or pixels.size, pixels.device
        operations = self._with_parameters(drawn, count)
        affine = geometry.composed(_affines(operations), count)
        if part is not None:
            affine = Crop().affine(part) @ affine
        levels = fitting_levels(pixels, affine, size)

        # From here on the images of one level stand together, so that each level is sampled at once.
        order = np.argsort(levels, kind="stable")
        operations = [(operation, parameters[order]) for operation, parameters in operations]
        boxes = None if part is None else part[order]
        warp = Warp(affine[order], _elastics(operations), size, device, boxes)
        sampling = Sampling(pixels, rows[torch.from_numpy(order)], levels[order], warp)
        retouching = Retouching(_retouches(operations), normalise, size, device)
        mixing = Mixing(*colour.composed(_matrices(operations), count), retouching.space, device)

        places, views = on_device(order, device), torch.empty((count, 3, size, size), device=device)
        for block in blocks(count, size**2, device):
            coloured = mixing.mixed(sampling.sampled(block), block)
            views.index_copy_(0, places[block], retouching.retouched(coloured, block))
        return views

    def _with_parameters(self, drawn: Mapping[str, np.ndarray], count: int) -> list[_WithParameters]:
        keyed = self._keyed()
        wrong = [key for key in keyed if key not in drawn or len(drawn[key]) != count]
        if wrong:
            raise ValueError(f"drawn must hold a row of {', '.join(wrong)} for each of the {count} images")
        return [(operation, np.asarray(drawn[key], dtype=np.float64)) for key, operation in keyed.items()]

    def _keyed(self) -> dict[str, Operation]:
        """The simple operations, by the names that their parameters have in what is drawn."""
        simple = (operation for given in self.operations for operation in given.simple)
        return {
            f"{place}_{type(operation).__name__.lower()}": operation for place, operation in enumerate(simple)
        }


def _affines(operations: Sequence[_WithParameters]) -> list[np.ndarray]:
    return [one.affine(parameters) for one, parameters in operations if isinstance(one, Geometry)]


def _elastics(operations: Sequence[_WithParameters]) -> list[tuple[Elastic, np.ndarray]]:
    return [(one, parameters) for one, parameters in operations if isinstance(one, Elastic)]


def _retouches(operations: Sequence[_WithParameters]) -> list[tuple[Retouch, np.ndarray]]:
    return [
        (one, parameters) for kind in _RETOUCHES for one, parameters in operations if isinstance(one, kind)
    ]


def _matrices(operations: Sequence[_WithParameters]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [one.matrices(parameters) for one, parameters in operations if isinstance(one, LinearColour)]


def _require_kind(operation: object) -> None:
    if isinstance(operation, Together):
        raise TypeError(
            f"{operation!r} stands in another Together: give the outer one its operations, one by one"
        )
    if not isinstance(operation, _KINDS):
        raise TypeError(
            f"{operation!r} is no operation that a policy can apply: take Crop, Flip, Rotation and the "
            "others of cervbench.plugin; what torchvision has is for a view of your own (its View)"
        )
