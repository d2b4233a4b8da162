"""What the cards share: finding image files below a folder."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from cervbench.data.error import DataError

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def image_files(folder: Path) -> Iterator[Path]:
    """Every image file below a folder, in a fixed order; hidden ones are not looked at."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(place, name)


def class_folders(folder: Path, names: Mapping[str, str]) -> list[tuple[Path, str]]:
    """The outermost folders with the given names (case does not matter), each with its class."""
    wanted = {name.casefold(): label for name, label in names.items()}
    found = []
    for place, folders, _ in os.walk(present(folder)):
        for name in sorted(folders):
            if name.casefold() in wanted:
                found.append((Path(place, name), wanted[name.casefold()]))
        folders[:] = sorted(name for name in folders if name.casefold() not in wanted)
    if not found:
        raise DataError(
            f"{folder} holds none of the class folders {', '.join(names)}; name the right folder with "
            "--data-root or CERVBENCH_DATA, or move this one away and get the dataset with "
            "`cervbench data fetch`"
        )
    return found


def present(path: Path) -> Path:
    """The path itself, when there is something."""
    if not path.exists():
        raise DataError(
            f"{path} does not exist; get the dataset with `cervbench data fetch`, "
            "or name the right folder with --data-root or CERVBENCH_DATA"
        )
    return path
