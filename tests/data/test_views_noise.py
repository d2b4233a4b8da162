"""Noise a pixel: a function of an image's key and of the place, with the moments it should have."""

import numpy as np
import pytest
import torch
from torch import Tensor

from cervbench.data.views import Elastic, Speckle
from cervbench.data.views.noise import KEYS, normal, uniform

COUNT = 40_000


def keys(*numbers: int) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float32)


def word(key: int, place: int) -> int:
    """The hash that noise is made of, worked in whole numbers without end."""

    def mixed(number: int) -> int:
        for _ in range(2):
            number = ((number >> 16 ^ number) * 0x45D9F3B) % 2**32
        return number >> 16 ^ number

    return mixed((place + 1) * 0x45D9F3B % 2**32 ^ mixed(key + 1))


@pytest.mark.parametrize("key", [0, 1, 77_777, KEYS - 1])
def test_noise_is_the_hash_of_key_and_place_worked_by_hand(key: int) -> None:
    upper, lower = uniform(keys(key), 101)
    for place in (0, 1, 17, 99, 100):
        high, low = divmod(word(key, place), 2**16)
        assert upper[0, place].item() == pytest.approx((high + 0.5) / 2**15 - 1, abs=1e-6)
        assert lower[0, place].item() == pytest.approx((low + 0.5) / 2**15 - 1, abs=1e-6)


def test_uniform_noise_fills_its_range_evenly() -> None:
    for numbers in uniform(keys(*range(8)), COUNT):
        shares = np.histogram(numbers, bins=20, range=(-1, 1))[0] / numbers.numel()
        assert np.abs(shares - 0.05).max() < 5 * np.sqrt(0.05 / numbers.numel())


def test_normal_noise_has_the_moments_and_tails_of_a_normal_distribution() -> None:
    numbers = normal(keys(*range(8)), COUNT).double().flatten()
    n = len(numbers)
    for power, moment, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert (numbers**power).mean().item() == pytest.approx(moment, abs=5 * np.sqrt(spread / n))
    for deviations, share in ((1, 0.317311), (2, 0.0455), (3, 0.0027)):
        happened = (numbers.abs() > deviations).double().mean().item()
        assert happened == pytest.approx(share, abs=5 * np.sqrt(share / n))


def test_noise_of_images_and_of_neighbouring_pixels_is_independent() -> None:
    numbers = normal(keys(*range(40)), 4096).double()
    between_images = np.corrcoef(numbers.numpy()) - np.eye(40)
    assert np.abs(between_images).max() < 5 / np.sqrt(4096)
    for lag in (1, 2, 64, 128, 2048):
        product = (numbers[:, lag:] * numbers[:, :-lag]).flatten()
        assert abs(product.mean().item()) < 5 / np.sqrt(len(product))


def test_the_noise_of_an_image_hangs_on_its_own_key_alone() -> None:
    together = normal(keys(5, 6, 7), 301)
    assert torch.equal(normal(keys(6), 301)[0], together[1])
    assert torch.equal(normal(keys(7, 5), 301), together[[2, 0]])


@pytest.mark.parametrize("operation", [Speckle(p=1.0), Elastic(p=1.0)])
def test_keys_are_whole_numbers_that_float32_holds(operation: Speckle | Elastic) -> None:
    (drawn,) = operation.draw(np.random.default_rng(0), 2000)
    assert drawn.dtype == np.float32
    assert np.array_equal(drawn[:, 1], np.round(drawn[:, 1]))
    assert drawn[:, 1].min() >= 0
    assert 0.99 * KEYS < drawn[:, 1].max() < KEYS
    assert len(np.unique(drawn[:, 1])) > 1990


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_noise_is_the_same_on_an_accelerator_bit_by_bit() -> None:
    assert torch.equal(normal(keys(1, 2).cuda(), 999).cpu(), normal(keys(1, 2), 999))
