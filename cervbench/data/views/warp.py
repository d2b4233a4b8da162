"""Warps: where in an image each pixel of its view is taken from, for all geometry of a policy together."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cervbench.data.views.elastic import Elastic
from cervbench.data.views.operation import Drawn
from cervbench.data.views.transfer import on_device


class Warp:
    """Elastic displacements move a place of the view; an affine map then says where in the image it lies."""

    def __init__(
        self,
        affine: np.ndarray,
        elastics: Sequence[tuple[Elastic, np.ndarray]],
        size: int,
        device: torch.device,
        part: np.ndarray | None = None,
    ) -> None:
        """Takes affine maps in coordinates of -1..1, images × 3 × 3, and elastics with their parameters.

        What would lie outside the `part` of an image is taken from the border of that part.
        """
        self.size = size
        self._elastics = [
            (elastic, Drawn(elastic, parameters, size, device)) for elastic, parameters in elastics
        ]
        displaced = [drawn.applies for _, drawn in self._elastics]
        self.still = (affine == np.eye(3)).all(axis=(1, 2)) & ~np.any(displaced, axis=0)
        """Which images do not move at all."""
        self._across, self._down, offset = on_device(affine[:, :2], device)[..., None, None].unbind(2)
        centres = (torch.arange(size, device=device) * 2 + 1) / size - 1
        self._columns = self._across * centres
        self._rows = self._down * centres[:, None] + offset
        self._bounds = None if part is None else on_device(_bounds(part), device)[..., None, None]

    def places(self, block: slice) -> Tensor:
        """Where to sample, images × size × size × 2, in -1..1."""
        # First a plane of all x coordinates and then one of all y: grid_sample reads them without shuffling.
        places = self._columns[block] + self._rows[block]
        for elastic, drawn in self._elastics:
            if found := drawn.within(block):
                where, prepared = found
                right, below = elastic.displacement(prepared, self.size)[:, None].unbind(2)
                across, down = (each[block][where] for each in (self._across, self._down))
                displaced = places[where].addcmul_(across, right).addcmul_(down, below)
                places.index_copy_(0, where, displaced)
        if self._bounds is not None:
            first, last = self._bounds[block].unbind(1)
            places = places.maximum(first).minimum(last)
        return places.permute(0, 2, 3, 1)


def _bounds(part: np.ndarray) -> np.ndarray:
    """The first and last places of a part, across and down, in -1..1: n × 2 × 2."""
    corner, size = part[:, :2], part[:, 2:]
    return 2 * np.stack([corner, corner + size], axis=1) - 1
