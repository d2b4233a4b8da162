"""What a model makes of images as they are."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cervbench.data.batches import Images
from cervbench.data.views.normalise import Normalise


def forwarded(model: Callable[[Tensor, Tensor], Tensor], images: Images, normalise: Normalise) -> np.ndarray:
    """`model(pixels, native_size)` of all images, in order: float32 on the host, without gradients."""
    with torch.inference_mode():
        made = [model(*batch).float().cpu().numpy() for batch in images.batches(normalise)]
    return np.concatenate(made)
