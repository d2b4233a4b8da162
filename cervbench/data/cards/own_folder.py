"""The images of a folder that holds a folder for each class."""

import re
from pathlib import Path

from cervbench.data.cards.item import SPLITS, Item
from cervbench.data.cards.listing import IMAGE_SUFFIXES, image_files, visible_files
from cervbench.data.error import DataError
from cervbench.error import first_few, warn_once

NAMES_OF_SPLITS = {*SPLITS, "training", "testing", "valid", "validation", "dev", "fold"}
OF_THE_SYSTEM = {"thumbs.db", "desktop.ini"}
"""Files that Windows puts among images."""


def items(folder: Path) -> list[Item]:
    found = []
    for class_folder in _class_folders(folder):
        images = list(image_files(class_folder))
        if not images:
            raise DataError(f"{class_folder} holds no image; fill this class, or remove its folder")
        for image in images:
            id = image.relative_to(folder).with_suffix("").as_posix()
            found.append(Item(id, class_folder.name, id, image))
    return found


def warn_of_other_files(folder: Path) -> None:
    others = [
        str(path)
        for class_folder in _class_folders(folder)
        for path in visible_files(class_folder)
        if path.suffix.lower() not in IMAGE_SUFFIXES and path.name.lower() not in OF_THE_SYSTEM
    ]
    if beside := [str(path) for path in sorted(folder.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES]:
        warn_once(f"{folder}: not read, since they lie in no folder of a class: {first_few(beside)}")
    if others:
        known = ", ".join(sorted(IMAGE_SUFFIXES))
        warn_once(f"{folder}: not read as images: {first_few(others)}; these are: {known}")


def _class_folders(folder: Path) -> list[Path]:
    """Refused if they are the parts of a dataset: these would be told apart as if they were classes."""
    found = [
        each
        for each in sorted(folder.iterdir())
        if each.is_dir() and not each.name.startswith((".", "__MACOSX"))
    ]
    splits = [each.name for each in found if _stem(each.name) in NAMES_OF_SPLITS]
    if len(splits) > 1 or splits == [each.name for each in found] != []:
        raise DataError(
            f"{folder} holds {', '.join(splits)}, which are splits and no classes; write a manifest with the "
            "column split, or name one of these folders"
        )
    return found


def _stem(name: str) -> str:
    """`train` of `Train_set` and of `train-1`."""
    return re.sub(r"[\W\d_]*(set)?[\W\d_]*$", "", name.lower())
