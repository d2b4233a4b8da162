from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cervbench.data.error import DataError
from cervbench.data.reading import cut, read_image


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


def test_sixteen_bits_keep_their_greys(tmp_path: Path) -> None:
    """Regression: they all became white."""
    grey = np.array([[0, 257 * 100], [257 * 200, 65535]], dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    assert np.asarray(read_image(tmp_path / "deep.png"))[..., 0].tolist() == [[0, 100], [200, 255]]


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    """Regression: the colour under the transparent part showed."""
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (np.asarray(read_image(tmp_path / "clear.png")) == 255).all()


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DataError, match=r"text\.png"):
        read_image(tmp_path / "text.png")
