"""Noise a pixel, made where the pixels are: a function of an image's key and of the place in it.

The host draws one key an image; drawing every number there would take longer than all else. A number
is a hash of key and place, in whole numbers, so every device and any division of a batch has the same.
"""

from functools import cache

import torch
from torch import Tensor

from cervbench.data.views.transfer import on_device

KEYS = 2**24
"""Keys are below this: float32 holds them exactly."""
_LEVELS = 2**16
"""How many numbers there are: each is made of sixteen bits of a hash."""
_MASK = _LEVELS - 1
_MULTIPLIER = 0x45D9F3B


def uniform(keys: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Two numbers in -1..1 a place: keys × count each."""
    upper, lower = (half.float().add_(0.5).mul_(2 / _LEVELS).sub_(1) for half in _halves(keys, count))
    return upper, lower


def normal(keys: Tensor, count: int) -> Tensor:
    """Numbers of mean 0 and standard deviation 1: keys × count."""
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
    """Those of the normal distribution in the middle of 2^16 equal shares: the same on every device."""
    shares = (torch.arange(_LEVELS, dtype=torch.float64) + 0.5) / _LEVELS
    return on_device(torch.special.ndtri(shares), device)
