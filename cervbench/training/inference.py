"""A model's outputs for images as they are, without views and gradients."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cervbench.data.batches import Images
from cervbench.data.views.normalise import Normalise


def outputs_of(model: Callable[[Tensor, Tensor], Tensor], images: Images, normalise: Normalise) -> np.ndarray:
    """`model(pixels, native_size)` for all images, in order: float32 on the host."""
    with torch.inference_mode():
        outputs = [model(*batch).float().cpu().numpy() for batch in images.batches(normalise)]
    return np.concatenate(outputs)
