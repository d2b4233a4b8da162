"""Windows of images, and where in its square an image lies."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv

from cervbench.data.views import Crop, Flip, Normalise, Policy, Pyramid, Rotation, windows
from cervbench.data.views.normalise import WHITE

AS_STORED = Normalise(mean=(0.0, 0.0, 0.0), std=(1 / WHITE,) * 3)


def pixels(size: int, stored: int = 90, count: int = 6) -> Pyramid:
    images = np.random.default_rng(3).integers(0, 256, (count, stored, stored, 3), dtype=np.uint8)
    return Pyramid(images, size)


def crops(count: int) -> np.ndarray:
    [drawn] = Crop(scale=(0.05, 1.0)).draw(np.random.default_rng(1), count)
    return drawn


def test_a_window_is_the_crop_that_a_policy_makes() -> None:
    images, rows, boxes = pixels(32), torch.tensor([4, 0, 5, 5, 2]), crops(5)
    theirs = Policy([Crop()]).apply(images, rows, {"0_crop": boxes}, AS_STORED)
    affines = Crop().affine(boxes.astype(np.float64))
    ours = windows(images, rows, affines[:, None], 32)
    torch.testing.assert_close(ours[:, 0], theirs, rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [20, 45])
def test_a_window_of_any_size_is_near_to_torchvisions_antialiased_crop(size: int) -> None:
    ramp = np.linspace(0, 255, 90)
    smooth = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], 128.0), axis=-1).astype(np.uint8)
    box = (9, 18, 60, 45)
    affines = Crop().affine(np.array([box]) / 90)
    [[ours]] = windows(Pyramid(smooth[None], 32), torch.tensor([0]), affines[None], size)
    left, top, width, height = box
    theirs = tv.resized_crop(
        torch.from_numpy(smooth).permute(2, 0, 1).float(), top, left, height, width, [size, size]
    )
    assert (ours - theirs).abs().max() < 3


def test_each_window_of_an_image_is_at_its_own_place_and_turn() -> None:
    images, rows = pixels(45, stored=45), torch.tensor([3, 1])
    whole, mirrored, quarter = (
        Crop().affine(np.array([[0.0, 0.0, 1.0, 1.0]])),
        Flip().affine(np.array([[-1.0, 1.0]])),
        Rotation().affine(np.array([[90.0]])),
    )
    found = windows(images, rows, np.stack([whole, mirrored, quarter], axis=1).repeat(2, axis=0), 45)
    plain = images.level(0, rows).float()
    expected = torch.stack([plain, plain.flip(3), plain.rot90(1, (2, 3))], dim=1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-2)


def test_windows_of_an_image_depend_on_its_own_row_alone() -> None:
    images, rows = pixels(32), torch.arange(6).repeat(8)
    affines = Crop().affine(crops(48 * 3).astype(np.float64)).reshape(48, 3, 3, 3)
    whole = windows(images, rows, affines, 70)
    for part in (slice(0, 1), slice(5, 31), slice(47, 48)):
        assert torch.equal(windows(images, rows[part], affines[part], 70), whole[part])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_accelerator_cuts_what_the_processor_cuts() -> None:
    images = np.random.default_rng(3).integers(0, 256, (6, 90, 90, 3), dtype=np.uint8)
    affines = Crop().affine(crops(18).astype(np.float64)).reshape(6, 3, 3, 3)
    there, here = (
        windows(Pyramid(images, 32, device), torch.arange(6), affines, 48).cpu() for device in ("cuda", "cpu")
    )
    torch.testing.assert_close(there, here, rtol=0, atol=0.1)


def test_a_part_of_a_pyramid_knows_where_its_own_images_lie() -> None:
    content = np.random.default_rng(0).random((9, 4))
    images = Pyramid(np.zeros((9, 8, 8, 3), np.uint8), 8, content=content)
    part = images.of(np.array([7, 2, 5])).of(np.array([2, 0]))
    assert np.array_equal(part.content(torch.tensor([1, 0, 1])), content[[7, 5, 7]])
    assert pixels(8).content(torch.tensor([3])).tolist() == [[0, 0, 1, 1]]
