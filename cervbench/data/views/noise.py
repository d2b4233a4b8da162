"""Noise for every pixel, made on the device: a function of an image's key and of the place in the image.

The host draws only one key per image, since drawing a number for every pixel there would take longer than
everything else. Each number is a hash of key and place, in whole numbers: it is the same on every device and
however a batch is divided.
"""

from functools import cache

import torch
from torch import Tensor

from cervbench.data.views.transfer import on_device

KEYS = 2**24
"""Keys are below this, so that float32 holds them exactly."""
_LEVELS = 2**16
"""How many numbers there are: each is made of sixteen bits of a hash."""
_MASK = _LEVELS - 1
_MULTIPLIER = 0x45D9F3B


def uniform(keys: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Two numbers in -1..1 for each place: keys × count each."""
    upper, lower = (half.float().add_(0.5).mul_(2 / _LEVELS).sub_(1) for half in _halves(keys, count))
    return upper, lower


def normal(keys: Tensor, count: int) -> Tensor:
    """Normal noise of mean 0 and standard deviation 1: keys × count."""
    quantiles = _quantiles(keys.device)
    halves = torch.cat(_halves(keys, -(-count // 2)), dim=1)[:, :count]
    return quantiles.index_select(0, halves.reshape(-1)).view(halves.shape)


def _halves(keys: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The upper and the lower sixteen bits of a hash of each key and each of `count` places."""
    places = torch.arange(1, count + 1, dtype=torch.int32, device=keys.device)
    hashed = _hashed_(places.mul_(_MULTIPLIER) ^ _hashed_(keys.int() + 1)[:, None])
    return (hashed >> 16).bitwise_and_(_MASK), hashed.bitwise_and_(_MASK)


def _hashed_(words: Tensor) -> Tensor:
    """Words whose every bit depends on all the bits they had, by shifts and products that wrap; in place."""
    for _ in range(2):
        words.bitwise_xor_((words >> 16).bitwise_and_(_MASK)).mul_(_MULTIPLIER)
    return words.bitwise_xor_((words >> 16).bitwise_and_(_MASK))


@cache
def _quantiles(device: torch.device) -> Tensor:
    """Quantiles of the normal distribution, in the middle of 2^16 equal shares: the same on every device."""
    shares = (torch.arange(_LEVELS, dtype=torch.float64) + 0.5) / _LEVELS
    return on_device(torch.special.ndtri(shares), device)
