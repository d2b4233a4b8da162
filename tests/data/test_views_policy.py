"""Policies: what is drawn, and that an image's view depends on its own row alone."""

from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import ColorJitter

from cervbench.data.views import (
    Brightness,
    Contrast,
    Crop,
    Elastic,
    Equalise,
    Flip,
    Gamma,
    Greyscale,
    Hue,
    Normalise,
    Operation,
    Policy,
    Pyramid,
    Rotation,
    Sharpen,
    Shift,
    Speckle,
    Together,
    Zoom,
    named_policy,
    plain_policy,
)

NORMALISE = Normalise(mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
MANY = 4000


def everything() -> Policy:
    retouches = (Gamma(p=0.5), Equalise(), Sharpen(), Speckle())
    return Policy([Zoom(), Shift(), Rotation(), Elastic(), *named_policy("simclr").operations, *retouches])


POLICIES = pytest.mark.parametrize(
    "policy",
    [named_policy("simclr"), plain_policy(), everything(), *map(named_policy, "ABCDE")],
    ids=["simclr", "plain", "everything", *"ABCDE"],
)


def generator(key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key))


def pixels(size: int, stored: int, count: int = 12) -> Pyramid:
    images = np.random.default_rng(3).integers(0, 256, (count, stored, stored, 3), dtype=np.uint8)
    return Pyramid(images, size)


def drawn(operation: Operation) -> np.ndarray:
    (parameters,) = Policy([operation]).draw(generator(5), MANY).values()
    return parameters


def assert_share(happened: np.ndarray, chance: float) -> None:
    four_sigma = 4 * np.sqrt(chance * (1 - chance) / len(happened))
    assert abs(happened.mean() - chance) < four_sigma


@POLICIES
def test_a_draw_is_a_function_of_the_generators_key(policy: Policy) -> None:
    first, again, other = (policy.draw(generator(key), 16) for key in (7, 7, 8))
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert any(not np.array_equal(first[key], other[key]) for key in first)
    assert all(array.dtype == np.float32 and len(array) == 16 for array in first.values())


@POLICIES
@pytest.mark.parametrize(("size", "stored"), [(32, 96), (31, 77)])
def test_a_part_of_the_batch_sees_bit_by_bit_what_it_sees_in_the_whole(
    policy: Policy, size: int, stored: int
) -> None:
    images = pixels(size, stored)
    rows = torch.from_numpy(generator(1).integers(0, 12, 40))
    parameters = policy.draw(generator(2), 40)
    whole = policy.apply(images, rows, parameters, NORMALISE)
    for part in (slice(0, 1), slice(1, 20), slice(20, 40), slice(39, 40), slice(0, 40, 3)):
        some = {key: array[part] for key, array in parameters.items()}
        assert torch.equal(policy.apply(images, rows[part], some, NORMALISE), whole[part])


@POLICIES
@pytest.mark.parametrize(("size", "stored"), [(33, 50), (7, 7), (24, 20), (2, 9)])
def test_views_of_one_image_at_odd_sizes_are_whole_and_between_black_and_white(
    policy: Policy, size: int, stored: int
) -> None:
    image = pixels(size, stored, count=1)
    for key in range(8):
        view = policy.apply(image, torch.tensor([0]), policy.draw(generator(key), 1), NORMALISE)
        assert view.shape == (1, 3, size, size)
        assert view.dtype == torch.float32
        mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (NORMALISE.mean, NORMALISE.std))
        values = view * std + mean
        assert values.min() >= -1e-6
        assert values.max() <= 1 + 1e-6


def test_more_images_than_a_block_holds_are_seen_like_few() -> None:
    policy, images = everything(), pixels(96, 150)
    rows = torch.from_numpy(generator(1).integers(0, 12, 70))
    parameters = policy.draw(generator(2), 70)
    whole = policy.apply(images, rows, parameters, NORMALISE)
    for image in range(0, 70, 9):
        alone = {key: array[image : image + 1] for key, array in parameters.items()}
        assert torch.equal(policy.apply(images, rows[image : image + 1], alone, NORMALISE)[0], whole[image])


def test_autocast_does_not_touch_views() -> None:
    policy, images, rows = everything(), pixels(32, 64), torch.arange(12)
    parameters = policy.draw(generator(4), 12)
    plain = policy.apply(images, rows, parameters, NORMALISE)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = policy.apply(images, rows, parameters, NORMALISE)
    assert torch.equal(plain, mixed)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@POLICIES
def test_an_accelerator_sees_what_the_processor_sees(policy: Policy) -> None:
    images = np.random.default_rng(3).integers(0, 256, (12, 96, 96, 3), dtype=np.uint8)
    parameters = policy.draw(generator(4), 12)
    there, here = (
        policy.apply(Pyramid(images, 32, device), torch.arange(12), parameters, NORMALISE).cpu()
        for device in ("cuda", "cpu")
    )
    # Equalising rounds to whole grey levels: what lies between two may end on either.
    parts = (part for operation in policy.operations for part in operation.simple)
    apart = ((there - here).abs() > 1e-3).float().mean()
    assert apart <= (0.002 if any(isinstance(part, Equalise) for part in parts) else 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@POLICIES
def test_nothing_waits_for_an_accelerator(policy: Policy) -> None:
    images = Pyramid(np.zeros((12, 96, 96, 3), np.uint8), 32, "cuda")
    parameters = policy.draw(generator(4), 12)
    policy.apply(images, torch.arange(12), parameters, NORMALISE)  # what is made once may be waited for
    torch.cuda.set_sync_debug_mode("error")
    try:
        policy.apply(images, torch.arange(12), parameters, NORMALISE)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_crops_have_areas_and_aspects_in_range_and_lie_inside_the_image() -> None:
    left, top, width, height = drawn(Crop(scale=(0.2, 0.9), ratio=(0.5, 2.0))).astype(float).T
    area, ratio = width * height, width / height
    assert area.min() >= 0.2 - 1e-5
    assert area.max() <= 0.9 + 1e-5
    assert area.mean() == pytest.approx(0.55, abs=0.01)
    assert ratio.min() >= 0.5 - 1e-5
    assert ratio.max() <= 2 + 1e-5
    assert np.log(ratio).mean() == pytest.approx(0, abs=0.03)
    for start, length in ((left, width), (top, height)):
        assert start.min() >= 0
        assert (start + length).max() <= 1 + 1e-6


def test_factors_and_turns_stay_in_their_ranges_and_fill_them() -> None:
    for operation, low, high in (
        (Brightness(0.4), 0.6, 1.4),
        (Contrast(1.5), 0.0, 2.5),
        (Hue(0.1), -0.1, 0.1),
        (Gamma((0.7, 1.4)), 0.7, 1.4),
        (Sharpen((0.5, 2.0), p=1.0), 0.5, 2.0),
        (Rotation(30), -30, 30),
        (Shift(0.2), -0.2, 0.2),
        (Zoom((0.8, 2.0)), 0.8, 2.0),
    ):
        parameters = drawn(operation)
        margin = 0.01 * (high - low)
        assert low - 1e-6 <= parameters.min() < low + margin
        assert high - margin < parameters.max() <= high + 1e-6


@pytest.mark.parametrize("step", [90, 72, 120, 180])
def test_turns_by_a_step_are_equally_likely(step: int) -> None:
    turns = drawn(Rotation(step=step)) % 360
    for turn in range(0, 360, step):
        assert_share(turns == turn, step / 360)


def test_each_operation_applies_with_its_own_chance() -> None:
    assert_share(drawn(Greyscale(p=0.2))[:, 0] == 1, 0.2)
    assert_share(drawn(Equalise(p=0.3))[:, 0] == 1, 0.3)
    assert_share(drawn(Speckle(p=0.4))[:, 0] != 0, 0.4)
    assert_share(drawn(Elastic(p=0.6))[:, 0] != 0, 0.6)
    assert_share(drawn(Brightness(0.4, p=0.7))[:, 0] != 1, 0.7)
    assert_share(drawn(Flip(horizontal=0.5, vertical=0.1))[:, 0] == -1, 0.5)
    assert_share(drawn(Flip(horizontal=0.5, vertical=0.1))[:, 1] == -1, 0.1)


def test_operations_together_apply_to_the_same_images() -> None:
    brightness, hue = Policy([Together((Brightness(0.4), Hue(0.1)), p=0.8)]).draw(generator(6), MANY).values()
    assert np.array_equal(brightness[:, 0] != 1, hue[:, 0] != 0)
    assert_share(brightness[:, 0] != 1, 0.8)


def test_parameters_that_are_missing_or_too_few_are_named() -> None:
    policy, images = plain_policy(), pixels(8, 8)
    parameters = policy.draw(generator(0), 4)
    with pytest.raises(ValueError, match="0_crop, 1_flip for each of the 3 images"):
        policy.apply(images, torch.arange(3), parameters, NORMALISE)
    del parameters["1_flip"]
    with pytest.raises(ValueError, match="1_flip for each of the 4 images"):
        policy.apply(images, torch.arange(4), parameters, NORMALISE)


def test_an_operation_of_no_known_kind_is_refused() -> None:
    class Solarise(Operation):
        identity = (0.0,)

        def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
            return np.ones((count, 1))

    foreign: Any = ColorJitter(0.4)
    for part in (Solarise(), foreign, Together((Flip(), Solarise())), Together((Flip(), foreign))):
        with pytest.raises(TypeError, match=r"^(Solarise|.*\.Solarise|ColorJitter).* is no operation that a"):
            Policy([part])


def test_operations_together_hold_no_others_together() -> None:
    """Regression: that was told in the first draw, as a Together that has no attribute `identity`."""
    inner: Any = Together((Hue(), Brightness()), p=0.5)
    with pytest.raises(TypeError, match=r"^Together\(operations=\(Hue.* stands in another Together"):
        Policy([Together((inner, Greyscale()))])


@pytest.mark.parametrize("name", ["simclr", "A", "B", "C", "D", "E"])
def test_views_stay_between_black_and_white(name: str) -> None:
    """Of images that are half black and half white, which jitter would push beyond both."""
    stored = np.zeros((32, 24, 24, 3), dtype=np.uint8)
    stored[:, 12:] = 255
    policy, unit = named_policy(name), Normalise((0.0,) * 3, (1.0,) * 3)
    drawn = policy.draw(np.random.default_rng(0), 32)
    views = policy.apply(Pyramid(stored, 16, torch.device("cpu")), torch.arange(32), drawn, unit)
    assert views.min() >= -1e-6
    assert views.max() <= 1 + 1e-6
