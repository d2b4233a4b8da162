"""Images in a file, read by row; and how little memory that takes."""

import hashlib
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cervbench.data.error import DataError
from cervbench.data.stored import StoredImages


def images(count: int = 20, side: int = 9) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def saved(folder: Path, array: np.ndarray) -> Path:
    np.save(folder / "pixels.npy", array)
    return folder / "pixels.npy"


@pytest.mark.parametrize(
    "rows",
    [3, -1, slice(None), slice(2, 15, 3), np.array([4, 0, 4, 19]), np.array([], dtype=int)],
    ids=["one", "last", "all", "slice", "some", "none"],
)
def test_a_file_is_indexed_as_the_array_that_was_saved(
    tmp_path: Path, rows: int | slice | np.ndarray
) -> None:
    stored = StoredImages.open(saved(tmp_path, images()))
    assert (len(stored), stored.shape, stored.dtype) == (20, images().shape, images().dtype)
    np.testing.assert_array_equal(stored[rows], images()[rows], strict=True)


@pytest.mark.parametrize("row", [20, -21])
def test_an_image_that_is_not_there_is_refused(tmp_path: Path, row: int) -> None:
    stored = StoredImages.open(saved(tmp_path, images()))
    with pytest.raises(IndexError):
        stored[np.array([0, row])]


def test_reading_ahead_changes_nothing(tmp_path: Path) -> None:
    stored = StoredImages.open(saved(tmp_path, images()))
    stored.expect(np.array([3, 19]))
    np.testing.assert_array_equal(stored[np.array([3, 19])], images()[[3, 19]])


@pytest.mark.parametrize("wrong", ["short", "long", "floats", "by column", "no array"])
def test_a_file_of_another_kind_is_refused_when_it_is_opened(tmp_path: Path, wrong: str) -> None:
    arrays = {"floats": images().astype(np.float32), "by column": np.asfortranarray(images())}
    path = saved(tmp_path, arrays.get(wrong, images()))
    content = path.read_bytes()
    contents = {"short": content[:-1], "long": content + b"0", "no array": b"\0" * 200}
    path.write_bytes(contents.get(wrong, content))
    with pytest.raises(ValueError, match=r"pixels\.npy|magic"):
        StoredImages.open(path)


def test_a_flipped_bit_is_noticed_when_its_image_is_first_read(tmp_path: Path) -> None:
    digests = tuple(hashlib.sha256(image.tobytes()).digest() for image in images())
    stored = StoredImages.open(saved(tmp_path, images()), digests)
    with stored.path.open("r+b") as file:
        file.seek(stored.start + 5 * 9 * 9 * 3 + 100)
        file.write(bytes([int(images()[5].flat[100]) ^ 1]))
    stored[np.array([4, 6])]
    with pytest.raises(DataError, match=f"image 5 of .*{tmp_path.name}"):
        stored[np.array([4, 5, 6])]


GROWTH = """
import re, sys
from pathlib import Path
import numpy as np, torch
from cervbench.data.stored import StoredImages
from cervbench.data.views import Normalise, Pyramid, named_policy

def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

def grown(stored):
    pixels, policy = Pyramid(stored, 32, budget=0), named_policy("simclr")
    plain = Normalise((0,) * 3, (1,) * 3)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = peak()
    rng = np.random.default_rng(0)
    for rows in np.array_split(rng.permutation(len(pixels)), len(pixels) // 50):
        policy.apply(pixels, torch.from_numpy(rows), policy.draw(rng, len(rows)), plain)
    return peak() - before

path = Path(sys.argv[1])
print(grown(StoredImages.open(path)), grown(np.load(path, mmap_mode="r")))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs /proc, to say what is resident")
def test_views_of_a_large_file_take_little_memory(tmp_path: Path) -> None:
    """The control is a map of the same file: every image of it is resident in the end."""
    path, shape = tmp_path / "pixels.npy", (3000, 224, 224, 3)
    with path.open("wb") as file:  # a hole of 450 MB, which takes no disk
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + math.prod(shape))
    read, mapped = map(int, subprocess.check_output([sys.executable, "-c", GROWTH, str(path)]).split())
    assert mapped > 400e6
    assert read < 150e6
