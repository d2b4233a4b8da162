"""Retouching: operations on the pixels of views that are sampled and coloured."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from cervbench.data.views.chosen import Chosen
from cervbench.data.views.normalise import UNIT, WHITE, Normalise
from cervbench.data.views.operation import Operation


class Retouch(Operation):
    """An operation on pixels, done to those views alone that draw it."""

    needs_values: ClassVar[bool] = True
    """Whether it must see values in 0..1; one that does not may see them normalised."""

    @abstractmethod
    def retouched(self, views: Tensor, needed: Tensor, space: Normalise) -> Tensor:
        """Views that drew it, between the black and white of `space`; they may be changed in place."""


class Retouching:
    """All retouching of a batch: in a space where it can be done, and from there to normalised views."""

    def __init__(
        self,
        retouches: Sequence[tuple[Retouch, np.ndarray]],
        normalise: Normalise,
        size: int,
        device: torch.device,
    ) -> None:
        """Retouches in order, with their parameters."""
        self._retouches = [(retouch, Chosen(retouch, at, size, device)) for retouch, at in retouches]
        self._normalise = normalise
        self.space = UNIT if any(retouch.needs_values for retouch, _ in retouches) else normalise
        """In which it takes views."""

    def retouched(self, views: Tensor, block: slice) -> Tensor:
        """A block of views, which may be changed in place."""
        for retouch, chosen in self._retouches:
            if drew := chosen.within(block):
                where, needed = drew
                changed = retouch.retouched(views.index_select(0, where), needed, self.space)
                views.index_copy_(0, where, changed)
        return views if self.space is self._normalise else self._normalise(views.mul_(WHITE))


def an_image(numbers: Tensor) -> Tensor:
    """One number an image, to multiply views with."""
    return numbers[:, None, None, None]
