"""Images in a file, of which each is read by its row."""

import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from cervbench.data.error import DataError


@dataclass(frozen=True)
class StoredImages:
    """The images of a .npy file, uint8 N × S × S × 3, indexed like an array; nothing stays in memory.

    With a memory map, every page that was ever touched would count as memory of the process.
    """

    dtype: ClassVar = np.dtype(np.uint8)
    path: Path
    start: int
    """Where in the file the first image begins."""
    shape: tuple[int, ...]
    digests: tuple[bytes, ...] | None
    """The SHA-256 of each image, compared when the image is first read."""
    checked: np.ndarray = field(compare=False, repr=False)

    @classmethod
    def open(cls, path: Path, digests: tuple[bytes, ...] | None = None) -> "StoredImages":
        """Reads only the header of the file; ValueError if the file is of another kind or was cut short."""
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
            start = file.tell()
        if dtype != cls.dtype or by_column or path.stat().st_size != start + math.prod(shape):
            raise ValueError(f"{path} does not hold {shape} bytes, row by row; it may have been cut short")
        return cls(path, start, shape, digests, np.zeros(shape[0], dtype=bool))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        chosen = np.arange(len(self))[rows]
        images = np.empty((chosen.size, *self.shape[1:]), np.uint8)
        with self.path.open("rb", buffering=0) as file:
            for image, row in zip(images, chosen.flat, strict=True):
                file.seek(self.start + int(row) * image.nbytes)
                if file.readinto(image.data) != image.nbytes:
                    raise DataError(f"{self.path} was cut short while it was in use; start again")
                self._check(int(row), image)
        return images.reshape(*chosen.shape, *self.shape[1:])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))

    def expect(self, rows: np.ndarray) -> None:
        """Have the operating system read these images, if it can, while something else is computed."""
        if not hasattr(os, "posix_fadvise"):
            return
        size = math.prod(self.shape[1:])
        with self.path.open("rb", buffering=0) as file:
            for row in rows:
                place = self.start + int(row) * size
                os.posix_fadvise(file.fileno(), place, size, os.POSIX_FADV_WILLNEED)

    def _check(self, row: int, image: np.ndarray) -> None:
        if self.digests is None or self.checked[row]:
            return
        if hashlib.sha256(image.data).digest() != self.digests[row]:
            raise DataError(
                f"image {row} of {self.path} is not what was stored there; remove the folder "
                f"{self.path.parent}, and it is built anew (or bring it again, if it was brought along)"
            )
        self.checked[row] = True
