"""A card for the user's own images: a manifest, or a folder of class folders."""

import re
import unicodedata
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from pathlib import Path

from cervbench.data.cards import own_folder, own_manifest
from cervbench.data.cards.card import Card
from cervbench.data.cards.item import Item
from cervbench.data.cards.source import Source
from cervbench.data.error import DataError

NAMES_OF_NOTHING = {"na", "n/a", "nan", "none", "null"}
"""What programs write where a value is missing."""


def own_card(path: Path, taken: Container[str] = ()) -> Card:
    """The card of a manifest, or of a folder with a subfolder for each class.

    A manifest is a csv file with the columns `path` (relative to it), `label` (empty for an unlabelled
    image), and optionally `group` and `split`. Without `group` it is unknown which images depend on each
    other, so every image stands for itself. The card has the name of the file or folder, which must not be
    one of those `taken`.
    """
    if not path.exists():
        raise DataError(
            f"there is no file and no folder {path.absolute()}; see `cervbench list datasets` for those that "
            "are known by name"
        )
    path = path.resolve()
    title = path.name if path.is_dir() else path.stem
    name = _name(title, path, taken)
    if path.is_dir():
        own_folder.warn_of_other_files(path)
        return _card(name, title, path, path, own_folder.items, groups_known=False)
    columns = own_manifest.columns(path)
    return _card(name, title, path, path.parent, lambda _: own_manifest.items(path), "group" in columns)


def _card(
    name: str,
    title: str,
    path: Path,
    folder: Path,
    items: Callable[[Path], Sequence[Item]],
    groups_known: bool,
) -> Card:
    classes = sorted({item.label for item in items(folder) if item.label is not None})
    _refuse_names_of_one_class(classes, path)
    if len(classes) < 2:
        manifest = next(path.glob("*.csv"), None) if path.is_dir() else None
        raise DataError(
            f"{path} has {len(classes)} classes, and there is nothing to tell apart with fewer than two"
            + (f"; if {manifest.name} in it says what is what, name that file" if manifest else "")
        )
    return Card(
        name=name,
        title=title,
        classes=tuple(classes),
        items=items,
        citation="own data",
        licence="own data",
        source=Source(page="", by_hand=f"These are your own data: {path} says what is where."),
        group="the column `group` of the manifest"
        if groups_known
        else "unknown: each image stands for itself",
        groups_known=groups_known,
        folder=str(folder),
    )


def _name(title: str, path: Path, taken: Container[str]) -> str:
    """The title without the characters that a folder of records cannot have in its name."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", title).strip("-")
    if not name:
        raise DataError(f"{path}: rename it; the dataset is called after it and needs a letter or a digit")
    if name in taken:
        raise DataError(
            f"{path}: rename it; the dataset is called after it, and {name} is the name of another. "
            f"If it is that one, use --dataset {name} with --data-root {path.parent}"
        )
    return name


def _refuse_names_of_one_class(classes: Sequence[str], path: Path) -> None:
    """Two spellings of a label would be two classes, and what stands for a missing one a class as well."""
    first: dict[str | float, str] = {}
    for name in classes:
        alike: str | float = unicodedata.normalize("NFKC", name).casefold()
        if alike in NAMES_OF_NOTHING:
            raise DataError(
                f"{path}: the label {name!r} reads like a missing one: leave it empty where an image has no "
                "label, and if it is a class, call it otherwise"
            )
        with suppress(ValueError):
            alike = float(alike)
        if (before := first.setdefault(alike, name)) != name:
            raise DataError(
                f"{path}: the labels {before!a} and {name!a} would be two classes; if they are one, write "
                "them alike, and if not, tell them apart by more"
            )
