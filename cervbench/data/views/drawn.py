"""The images of a batch that draw an operation."""

import numpy as np
import torch
from torch import Tensor

from cervbench.data.views.operation import Operation
from cervbench.data.views.transfer import on_device


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
