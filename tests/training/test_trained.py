from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from cervbench.data.batches import Images
from cervbench.data.views import Normalise, Pyramid
from cervbench.training.trained import reestimate_norms


def test_batch_norm_statistics_are_the_average_over_images_and_not_over_batches() -> None:
    """Regression: the last, short batch weighed as much as a full one."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 100, (300, 8, 8, 3), dtype=np.uint8)
    pixels[256:] += 120  # unlike the others
    pyramid = Pyramid(pixels, 8, torch.device("cpu"))
    images = Images(tuple(map(str, range(300))), np.full((300, 2), 8), np.arange(300), pyramid)
    norm = nn.BatchNorm2d(3)
    encoder: Any = nn.Sequential(norm)
    encoder.normalise = Normalise((0.0,) * 3, (1.0,) * 3)
    method: Any = SimpleNamespace(encoder=encoder)
    reestimate_norms(method, images)
    expected = pixels.mean((0, 1, 2)) / 255
    assert norm.running_mean is not None
    np.testing.assert_allclose(norm.running_mean.numpy(), expected, atol=1e-5)
    assert not encoder.training
