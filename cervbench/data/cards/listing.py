"""What the cards share: finding image files below a folder, and a list of items that holds together."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cervbench.data.cards.card import Item
from cervbench.data.error import DataError
from cervbench.error import some

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
            f"{folder} holds none of the class folders {', '.join(names)}; "
            f"`cervbench data fetch {folder.name}` says what belongs there"
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


def listed(items: Iterable[Item], folder: Path) -> list[Item]:
    """The items sorted by id; refuses none at all, and one id for two images."""
    ordered = sorted(items, key=lambda item: item.id)
    if not ordered:
        raise DataError(f"{folder} holds no image of the dataset; is it the right folder?")
    by_id = defaultdict(list)
    for item in ordered:
        by_id[item.id].append(item.path)
    twice = [f"{id}: {' and '.join(map(str, paths))}" for id, paths in by_id.items() if len(paths) > 1]
    if twice:
        raise DataError(
            f"{len(twice)} image ids stand for more than one image; keep one of each: {some(twice)}"
        )
    return ordered
