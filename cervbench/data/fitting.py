"""Fitting an image of any shape into the square that is stored, and where in that square it lies."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image


def fit(image: "Image", side: int) -> np.ndarray:
    """The image in the middle of a square, at its own aspect ratio, padded with the median of its border."""
    from PIL.Image import Resampling

    [(left, top, width, height)] = content_box(np.array([image.size]), side).tolist()
    small = np.asarray(image.resize((width, height), Resampling.BICUBIC))
    if (width, height) == (side, side):
        return small
    border = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    square = np.empty((side, side, 3), np.uint8)
    square[:] = np.median(border, axis=0)
    square[top : top + height, left : left + width] = small
    return square


def content_box(native_size: np.ndarray, side: int) -> np.ndarray:
    """Left, top, width and height in pixels of the square, for images of these widths and heights: n × 4."""
    scale = side / native_size.max(axis=1, keepdims=True)
    size = np.maximum(1, np.rint(native_size * scale)).astype(int)
    return np.concatenate([(side - size) // 2, size], axis=1)
