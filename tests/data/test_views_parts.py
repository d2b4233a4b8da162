"""Views of a part of each image, and of another size than the training size."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv

from cervbench.data.views import (
    Crop,
    Elastic,
    Flip,
    Normalise,
    Policy,
    Pyramid,
    Rotation,
    Shift,
    named_policy,
)
from cervbench.data.views.normalise import WHITE

AS_STORED = Normalise(mean=(0.0, 0.0, 0.0), std=(1 / WHITE,) * 3)
NOTHING = Policy(())
LEAVING = Policy((Rotation(), Shift(by=0.5), Elastic(alpha=(900, 900), p=1)))
"""Most of what it shows lies outside."""


def pixels(size: int, stored: int = 90, count: int = 6, device: str = "cpu") -> Pyramid:
    images = np.random.default_rng(3).integers(0, 256, (count, stored, stored, 3), dtype=np.uint8)
    return Pyramid(images, size, device)


def boxes(count: int) -> np.ndarray:
    [drawn] = Crop(scale=(0.05, 1.0)).draw(np.random.default_rng(1), count)
    return drawn


def test_a_part_is_what_a_crop_makes_of_it() -> None:
    images, rows, parts = pixels(32), torch.tensor([4, 0, 5, 5, 2]), boxes(5)
    cropped = Policy([Crop()]).apply(images, rows, {"0_crop": parts}, AS_STORED)
    ours = NOTHING.apply(images, rows, {}, AS_STORED, part=parts)
    torch.testing.assert_close(ours, cropped, rtol=0, atol=1e-2)  # of 255


def test_a_policy_is_done_to_the_part_and_not_to_the_image() -> None:
    images, rows, parts = pixels(32), torch.arange(5), boxes(5)
    turns = Policy((Flip(), Rotation(step=90)))
    drawn = {"0_flip": np.array([[-1.0, 1.0]] * 5), "1_rotation": np.full((5, 1), 90.0)}
    plain = NOTHING.apply(images, rows, {}, AS_STORED, part=parts)
    ours = turns.apply(images, rows, drawn, AS_STORED, part=parts)
    torch.testing.assert_close(ours, plain.flip(3).rot90(1, (2, 3)), rtol=0, atol=1e-2)


@pytest.mark.parametrize("size", [20, 45, 70])
def test_a_part_at_any_size_is_near_to_torchvisions_antialiased_crop(size: int) -> None:
    ramp = np.linspace(0, 255, 90)
    smooth = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], 128.0), axis=-1).astype(np.uint8)
    left, top, width, height = box = (9, 18, 60, 45)
    [ours] = NOTHING.apply(
        Pyramid(smooth[None], 32), torch.tensor([0]), {}, AS_STORED, size=size, part=np.array([box]) / 90
    )
    theirs = tv.resized_crop(
        torch.from_numpy(smooth).permute(2, 0, 1).float(), top, left, height, width, [size, size]
    )
    assert (ours - theirs).abs().max() < 3


@pytest.mark.parametrize("size", [20, 64, 90])
def test_an_image_as_it_is_has_the_size_that_is_asked_for(size: int) -> None:
    """What does not move is copied, from images of the training size alone."""
    images, rows = pixels(32), torch.tensor([1, 3])
    view = NOTHING.apply(images, rows, {}, AS_STORED, size=size)
    assert view.shape == (2, 3, size, size)
    if size == 90:
        torch.testing.assert_close(view, pixels(90).level(0, rows).float(), rtol=0, atol=1e-2)


@pytest.mark.parametrize("size", [32, 50])
def test_what_lies_outside_of_a_part_is_not_seen(size: int) -> None:
    """The image is white outside, and black in the part and to some pixels around, which resizing mixes."""
    image = np.full((90, 90, 3), WHITE, np.uint8)
    image[24:66, 14:76] = 0
    part = np.array([[18, 28, 54, 34]]).repeat(40, 0) / 90
    images, rows = Pyramid(image[None], 32), torch.zeros(40, dtype=torch.long)
    drawn = LEAVING.draw(np.random.default_rng(0), 40)
    assert LEAVING.apply(images, rows, drawn, AS_STORED, size=size, part=part).max() == 0
    assert LEAVING.apply(images, rows, drawn, AS_STORED, size=size).max() == WHITE


def test_a_part_of_an_image_depends_on_its_own_row_alone() -> None:
    images, rows, parts = pixels(32), torch.arange(6).repeat(8), boxes(48)
    policy = Policy((*named_policy("simclr").operations, Elastic()))
    drawn = policy.draw(np.random.default_rng(2), 48)
    whole = policy.apply(images, rows, drawn, AS_STORED, size=70, part=parts)
    for some in (slice(0, 1), slice(5, 31), slice(47, 48)):
        mine = {name: values[some] for name, values in drawn.items()}
        alone = policy.apply(images, rows[some], mine, AS_STORED, size=70, part=parts[some])
        assert torch.equal(alone, whole[some])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_accelerator_sees_of_a_part_what_the_processor_sees() -> None:
    rows, drawn = torch.arange(6), LEAVING.draw(np.random.default_rng(2), 6)
    there, here = (
        LEAVING.apply(pixels(32, device=device), rows, drawn, AS_STORED, size=48, part=boxes(6)).cpu()
        for device in ("cuda", "cpu")
    )
    torch.testing.assert_close(there, here, rtol=0, atol=0.1)
