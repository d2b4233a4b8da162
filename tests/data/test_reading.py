from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cervbench.data.error import DataError
from cervbench.data.reading import as_rgb, cut, read_image
from cervbench.kept_encoder import _opened


def test_a_box_inside_is_a_crop() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8))
    assert np.array_equal(cut(image, (3, 4, 13, 16)), image.crop((3, 4, 13, 16)))


def test_a_box_over_the_border_repeats_the_border() -> None:
    image = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(2, 2, 3))
    cell = np.asarray(cut(image, (-1, -2, 3, 1)))
    assert cell.shape == (3, 4, 3)
    assert (cell[:, 0] == cell[:, 1]).all()
    assert (cell[0] == cell[2]).all()
    assert (cell[0, 3] == [3, 4, 5]).all()


def test_a_box_beside_the_image_is_refused() -> None:
    with pytest.raises(DataError, match="outside"):
        cut(Image.new("RGB", (10, 10)), (20, 20, 30, 30))


@pytest.mark.parametrize("box", [(1.0, 2.0, 5.0, 6.0), (1, 2, 5), (1, 2, 5, "6"), (1, 2, 5, float("nan"))])
def test_a_box_of_anything_but_four_whole_numbers_is_refused_in_words(box: Any) -> None:
    """Regression: numpy's `pad_width` must be of integral type, it said, once an image."""
    with pytest.raises(DataError, match=r"four whole numbers, left, top, right, bottom \(COCO gives left"):
        cut(Image.new("RGB", (10, 10)), box)
    whole = np.array([1, 2, 5, 6])
    assert cut(Image.new("RGB", (10, 10)), tuple(whole)).size == (4, 4)


@pytest.mark.parametrize("box", [(50, 50, 20, 20), (5, 5, 5, 9)])
def test_a_box_that_ends_before_it_begins_is_not_called_outside(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(
        DataError, match=r"COCO gives left, top, width, height\), and ends behind where it begins"
    ):
        cut(Image.new("RGB", (100, 100)), box)


def test_sixteen_bits_keep_their_greys(tmp_path: Path) -> None:
    """Regression: they all became white."""
    grey = np.array([[0, 257 * 100], [257 * 200, 65535]], dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    assert np.asarray(read_image(tmp_path / "deep.png"))[..., 0].tolist() == [[0, 100], [200, 255]]


def test_sixteen_bits_that_pillow_opens_as_thirty_two_are_known_by_their_format() -> None:
    """Regression: an open image was copied first, which forgets the format; older Pillow opens PNG so."""
    image = Image.fromarray(np.array([[0, 257 * 100]], dtype=np.int32))
    image.format = "PNG"
    assert np.asarray(_opened(image))[..., 0].tolist() == [[0, 100]]


def test_an_image_that_is_turned_stays_as_it_was() -> None:
    image = Image.new("RGB", (60, 40))
    image.getexif()[0x0112] = 6
    assert as_rgb(image).size == (40, 60)
    assert image.size == (60, 40)


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    """Regression: the colour under the transparent part showed."""
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (np.asarray(read_image(tmp_path / "clear.png")) == 255).all()


def test_an_image_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    image = Image.new("RGB", (60, 40), "white")
    image.paste("black", (0, 0, 60, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the scene is the right side of the picture
    image.save(tmp_path / "turned.png", exif=exif)
    turned = np.asarray(read_image(tmp_path / "turned.png"))
    assert turned.shape == (60, 40, 3)
    assert (turned[:, 30:] == 0).all()
    assert (turned[:, :30] == 255).all()


def test_exif_that_is_damaged_leaves_an_image_as_it_is(tmp_path: Path) -> None:
    Image.new("RGB", (60, 40)).save(tmp_path / "sound.png", exif=b"Exif\x00\x00garbage!")
    with pytest.raises(SyntaxError), Image.open(tmp_path / "sound.png") as opened:
        opened.getexif()
    assert read_image(tmp_path / "sound.png").size == (60, 40)


@pytest.mark.parametrize("limit", ["PIL.Image.MAX_IMAGE_PIXELS", "cervbench.data.reading.MOST_PIXELS"])
def test_an_image_that_is_too_large_is_not_called_broken(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: PIL's own limit let a file of 174 KB take 2.5 GB in every thread."""
    Image.new("RGB", (100, 100)).save(tmp_path / "slide.png")
    monkeypatch.setattr(limit, 1000)
    with pytest.raises(DataError, match=r"slide\.png is too large for the image of a cell or a field"):
        read_image(tmp_path / "slide.png")


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DataError, match=r"text\.png"):
        read_image(tmp_path / "text.png")
