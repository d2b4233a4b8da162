"""Retouching: operations on the pixels of views that have been sampled and coloured."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from cervbench.data.views.normalise import UNIT, WHITE, Normalise
from cervbench.data.views.operation import Drawn, Operation


class Retouch(Operation):
    """An operation on pixels, done only to the views that draw it."""

    needs_values: ClassVar[bool] = True
    """Whether it must see values in 0..1; one that need not may be given normalised values."""

    @abstractmethod
    def retouched(self, views: Tensor, prepared: Tensor, space: Normalise) -> Tensor:
        """The views that drew it, still between the black and white of `space`; it may work in place."""


class Retouching:
    """All retouching of a batch, which ends with normalised views."""

    def __init__(
        self,
        retouches: Sequence[tuple[Retouch, np.ndarray]],
        normalise: Normalise,
        size: int,
        device: torch.device,
    ) -> None:
        """Takes the retouches in the order in which they are done, with their parameters."""
        self._retouches = [
            (retouch, Drawn(retouch, parameters, size, device)) for retouch, parameters in retouches
        ]
        self._normalise = normalise
        self.space = UNIT if any(retouch.needs_values for retouch, _ in retouches) else normalise
        """The space of the views that it takes: all of its retouches can work there."""

    def retouched(self, views: Tensor, block: slice) -> Tensor:
        """A block of views, retouched and normalised; it may work in place."""
        for retouch, drawn in self._retouches:
            if found := drawn.within(block):
                where, prepared = found
                changed = retouch.retouched(views.index_select(0, where), prepared, self.space)
                views.index_copy_(0, where, changed)
        return views if self.space is self._normalise else self._normalise(views.mul_(WHITE))


def per_image(numbers: Tensor) -> Tensor:
    """One number per image, in a shape that multiplies views."""
    return numbers[:, None, None, None]
