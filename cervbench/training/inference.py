"""A model's outputs for images as they are, without views and gradients."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cervbench.data.batches import Images
from cervbench.data.views.normalise import Normalise
from cervbench.plugin.method import Method
from cervbench.plugin.problems import ContractError, shown


class NotFinite(ContractError):  # noqa: N818
    """A method's features overflow or divide by zero; or its encoder's weights do, which training ruined."""


def features_of(method: Method, images: Images, normalise: Normalise) -> np.ndarray:
    """What frozen evaluations see of the images: n × width. Refused here, where it is the method's fault."""
    of = type(method).__name__

    def features(pixels: Tensor, native_size: Tensor) -> Tensor:
        made = method.features(pixels, native_size)
        if not isinstance(made, Tensor):
            raise ContractError(f"features of {of} returns {shown(made)}; give a tensor, n × width")
        return made

    method.eval()
    made = outputs_of(features, images, normalise)
    if made.ndim != 2 or len(made) != len(images) or not made.size:
        raise ContractError(
            f"features of {of} makes an array of shape {made.shape} of {len(images)} images; give "
            "n × width, an image a row"
        )
    if wrong := np.count_nonzero(~np.isfinite(made).all(axis=1)):
        raise NotFinite(
            f"features of {of} has numbers that are not finite, of {wrong} of {len(made)} images; look where "
            "they overflow or divide"
        )
    return made


def outputs_of(model: Callable[[Tensor, Tensor], Tensor], images: Images, normalise: Normalise) -> np.ndarray:
    """`model(pixels, native_size)` for all images, in order: float32 on the host."""
    with torch.inference_mode():
        outputs = [model(*batch).float().cpu().numpy() for batch in images.batches(normalise)]
    return np.concatenate(outputs)
