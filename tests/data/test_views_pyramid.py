"""The ladder of sizes, and sampling from it without aliasing."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from PIL import Image

from cervbench.data.stored import StoredImages
from cervbench.data.views import Crop, Normalise, Policy, Pyramid, Rotation
from cervbench.data.views.sampling import fitting_levels

UNIT = Normalise(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def stored(side: int, count: int = 2) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("size", "side", "sides"),
    [
        (64, 224, (64, 91, 128, 181, 224)),
        (128, 224, (128, 181, 224)),
        (32, 64, (32, 45, 64)),
        (64, 64, (64,)),
        (64, 50, (64,)),
        (33, 40, (33, 40)),
    ],
)
def test_sizes_grow_by_the_root_of_two_up_to_the_stored_one(
    size: int, side: int, sides: tuple[int, ...]
) -> None:
    pixels = Pyramid(stored(side), size)
    assert (pixels.size, pixels.sides, len(pixels)) == (size, sides, 2)
    for k, expected in enumerate(sides):
        level = pixels.level(k, torch.tensor([1, 0, 1]))
        assert level.shape == (3, 3, expected, expected)
        assert level.dtype == torch.uint8


def test_each_size_is_what_pillow_makes_of_the_stored_image() -> None:
    images = stored(100)
    pixels = Pyramid(images, 32)
    for k, side in enumerate(pixels.sides):
        theirs = np.asarray(Image.fromarray(images[1]).resize((side, side), Image.Resampling.BILINEAR))
        ours = pixels.level(k, torch.tensor([1]))[0].permute(1, 2, 0).numpy()
        assert np.abs(ours.astype(int) - theirs).max() <= 1


BUDGETS = {"nothing": 0, "the two smallest": 300 * 3 * (16**2 + 23**2), "all but one byte": 300 * 3 * 5_000}


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=BUDGETS.keys())
def test_every_size_has_the_same_bits_whatever_is_kept(tmp_path: Path, budget: int) -> None:
    images = stored(50, count=300)
    np.save(tmp_path / "images.npy", images)
    streamed = Pyramid(StoredImages.open(tmp_path / "images.npy"), 16, budget=budget)
    resident = Pyramid(images, 16)
    rng = np.random.default_rng(0)
    for count in (1, 7, 300, 300, 64):
        rows = torch.from_numpy(rng.integers(0, 300, count))
        for k in range(len(resident.sides)):
            assert torch.equal(streamed.level(k, rows), resident.level(k, rows))
    everything = torch.from_numpy(images).permute(0, 3, 1, 2)
    assert torch.equal(streamed.level(len(streamed.sides) - 1, torch.arange(300)), everything)


class Counted(np.ndarray):
    """Images that count how often they are read."""

    reads = 0

    def __getitem__(self, rows: object) -> np.ndarray:
        if isinstance(rows, np.ndarray):
            Counted.reads += len(rows)
        return np.asarray(self)[rows]


def test_small_sizes_are_kept_before_large_ones_and_what_is_kept_is_read_once() -> None:
    pixels = Pyramid(stored(50, count=300).view(Counted), 16, budget=BUDGETS["the two smallest"])
    rows = torch.arange(100, 200)

    def reads(k: int) -> int:
        before = Counted.reads
        pixels.level(k, rows)
        return Counted.reads - before

    assert [reads(k) for k in range(5)] == [100] * 5
    assert [reads(k) for k in range(5)] == [0, 0, 100, 100, 100]


def test_a_part_has_its_own_rows_and_no_others() -> None:
    pixels = Pyramid(stored(50, count=9), 16)
    part = pixels.of(np.array([7, 2, 5])).of(np.array([2, 0]))
    assert len(part) == 2
    assert torch.equal(part.level(1, torch.tensor([0, 1])), pixels.level(1, torch.tensor([5, 7])))
    with pytest.raises(IndexError):
        part.level(1, torch.tensor([2]))


@pytest.mark.parametrize("wrong", [stored(8).astype(np.float32), stored(8)[:, :, :6], stored(8)[..., :1]])
def test_images_of_another_form_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8 images N × S × S × 3, not"):
        Pyramid(wrong, 4)


def test_the_whole_image_is_the_first_size_normalised() -> None:
    pixels = Pyramid(stored(50), 32)
    rows = torch.tensor([1, 0])
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    theirs = tv.normalize(pixels.level(0, rows) / 255, list(mean), list(std))
    torch.testing.assert_close(pixels.whole(rows, Normalise(mean, std)), theirs, rtol=0, atol=1e-5)


def test_a_view_that_moves_nothing_is_the_whole_image_bit_by_bit() -> None:
    pixels = Pyramid(stored(90, count=5), 37)
    rows = torch.tensor([4, 0, 2])
    normalise = Normalise((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
    still = Policy([Crop(p=0), Rotation(p=0)])
    drawn = still.draw(np.random.default_rng(0), 3)
    assert torch.equal(still.apply(pixels, rows, drawn, normalise), pixels.whole(rows, normalise))


def test_a_step_of_a_view_is_between_one_and_the_root_of_two_pixels_of_its_level() -> None:
    pixels = Pyramid(stored(256, count=1), 32)
    crop = Crop(scale=(0.03, 1.0))
    affine = crop.affine(crop.draw(np.random.default_rng(2), 2000)[0].astype(np.float64))
    steps = np.sqrt(np.linalg.det(affine)) * np.array(pixels.sides)[fitting_levels(pixels, affine, 32)] / 32
    assert steps.min() >= 1 - 1e-5
    assert steps.max() <= np.sqrt(2) * 1.02  # sides are whole pixels
    assert set(fitting_levels(pixels, affine, 32)) == {1, 2, 3, 4, 5, 6}


def test_where_nothing_finer_is_stored_the_finest_is_magnified() -> None:
    pixels = Pyramid(stored(64, count=1), 32)
    affine = Crop().affine(np.array([[0.4, 0.4, 0.1, 0.1]]))
    assert fitting_levels(pixels, affine, 32).tolist() == [len(pixels.sides) - 1]


CROPS = [(0, 0, 200, 200), (20, 30, 150, 170), (60, 30, 130, 100), (10, 80, 120, 120)]


def three_ways(images: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Crops to 48 pixels: ours, torchvision's antialiased, and one bilinear sampling of the stored image."""
    side = images.shape[1]
    planes = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    boxes = list(zip(planes, CROPS, strict=True))
    smoothed, aliased = (
        torch.stack(
            [tv.resized_crop(x, top, left, h, w, [48, 48], antialias=way) for x, (left, top, w, h) in boxes]
        )
        for way in (True, False)
    )
    drawn = {"0_crop": np.float32(CROPS) / side}
    rows = torch.arange(len(images))
    return Policy([Crop()]).apply(Pyramid(images, 48), rows, drawn, UNIT), smoothed, aliased


def test_a_crop_that_shrinks_is_nearer_to_an_antialiased_one_than_one_bilinear_sampling() -> None:
    ours, smoothed, aliased = three_ways(stored(200, count=4))
    error, error_of_one_sampling = (float((way - smoothed).square().mean().sqrt()) for way in (ours, aliased))
    assert error < error_of_one_sampling / 3


def test_a_pattern_too_fine_for_the_view_turns_grey_and_not_into_another_pattern() -> None:
    stripes = (np.sin(2 * np.pi * np.arange(200) / 2.3) * 127 + 128).astype(np.uint8)
    ours, _, aliased = three_ways(np.broadcast_to(stripes[None, None, :, None], (4, 200, 200, 3)).copy())
    assert (aliased.std((1, 2, 3)) > 0.1).all()
    assert (ours.std((1, 2, 3)) < 0.2 * aliased.std((1, 2, 3))).all()


def test_a_part_of_a_pyramid_knows_where_its_own_images_lie() -> None:
    content = np.random.default_rng(0).random((9, 4))
    images = Pyramid(np.zeros((9, 8, 8, 3), np.uint8), 8, content=content)
    part = images.of(np.array([7, 2, 5])).of(np.array([2, 0]))
    assert np.array_equal(part.content(torch.tensor([1, 0, 1])), content[[7, 5, 7]])
    assert Pyramid(stored(8), 8).content(torch.tensor([1])).tolist() == [[0, 0, 1, 1]]
