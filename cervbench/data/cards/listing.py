"""What the cards share: finding image files below a folder."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from cervbench.data.error import DataError

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def image_files(folder: Path) -> Iterator[Path]:
    """Every image file below a folder that is not hidden, in a fixed order."""
    return (path for path in visible_files(folder) if path.suffix.lower() in IMAGE_SUFFIXES)


def visible_files(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(place, name)
            if not name.startswith(".") and path.is_file():
                yield path


def by_name(paths: Iterable[Path], name: Callable[[Path], str], fault: str) -> dict[str, Path]:
    """The paths by their `name`. Two of one name are refused, and `fault` is what the error says of them."""
    found: dict[str, Path] = {}
    for path in paths:
        if (before := found.setdefault(name(path), path)) != path:
            raise DataError(f"{before} and {path} {fault}; keep one of them")
    return found


def class_folders(folder: Path, names: Mapping[str, str]) -> list[tuple[Path, str]]:
    """The outermost folders of these names, in upper or lower case, each with its class."""
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
    """The path itself, refused if nothing is there."""
    if not path.exists():
        raise DataError(
            f"{path} does not exist; get the dataset with `cervbench data fetch`, "
            "or name the right folder with --data-root or CERVBENCH_DATA"
        )
    return path
