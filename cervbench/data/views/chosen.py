"""The images of a batch that draw an operation."""

import numpy as np
import torch
from torch import Tensor

from cervbench.data.views.operation import Operation
from cervbench.data.views.transfer import on_device


class Chosen:
    """Which images draw an operation, and what it needs to know of each, on the device that holds the pixels.

    All is moved there at once, and asked for block by block.
    """

    def __init__(self, operation: Operation, parameters: np.ndarray, size: int, device: torch.device) -> None:
        self.applies = operation.applies(parameters)
        self._images = np.flatnonzero(self.applies)
        self._on_device = on_device(self._images, device)
        self._needed = on_device(operation.needed(parameters[self._images], size), device)

    def within(self, block: slice) -> tuple[Tensor, Tensor] | None:
        """Where in the block they are, and what is needed of them; None where there are none."""
        start, end = np.searchsorted(self._images, (block.start, block.stop))
        if start == end:
            return None
        return self._on_device[start:end] - block.start, self._needed[start:end]
