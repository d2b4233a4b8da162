"""An item: one image of a dataset before it is read, and what is demanded of its names."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cervbench.data.error import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Item:
    """One image of a dataset, before it is read."""

    id: str
    """The name by which it is known everywhere, free of folder and file format."""
    label: str | None
    """A class of the card; None for an unlabelled image."""
    group: str
    """Images of one group depend on each other and never cross a fold."""
    path: Path
    """The file that holds it."""
    box: tuple[int, int, int, int] | None = None
    """The part of the file that is the image: left, top, right, bottom; it may reach beyond the border."""
    split: str | None = None
    """One of SPLITS if the source fixes it."""


def read_file(item: Item) -> "Image":
    """The image of an item from its file; where its box reaches beyond the border, the border is repeated."""
    from cervbench.data.reading import read_image

    return read_image(item.path, item.box)


def with_plain_texts(item: Item, where: str) -> Item:
    """The item with numpy's strings as plain ones, which is what a pack gives back; others are refused."""
    for field, optional in (("id", False), ("label", True), ("group", False), ("split", True)):
        value = getattr(item, field)
        if type(value) is str or (optional and value is None):
            continue
        if not isinstance(value, str):
            due = "a str or None" if optional else "a str"
            raise DataError(f"{where}, id {item.id!r}: `{field}` is {value!r}, where {due} is due")
        plain: dict[str, Any] = {field: str(value)}
        item = replace(item, **plain)
    if not isinstance(item.path, Path):
        raise DataError(f"{where}, id {item.id!r}: `path` is {item.path!r}, where a pathlib.Path is due")
    return item


def require_names(item: Item) -> None:
    """Refuses names that look alike and are two, and what no table would bring back."""
    for what, name in (("id", item.id), ("class", item.label), ("group", item.group)):
        if name is None:
            continue
        if not name:
            raise DataError(
                f"{str(item.path)!r}, id {item.id!r}: its {what} is empty"
                + ("; None stands for an unlabelled image" if what == "class" else "")
            )
        if name != name.strip():
            raise DataError(
                f"{str(item.path)!r}, id {item.id!r}: its {what} {name!r} has blanks around it, and would be "
                "another without them; remove them"
            )
        if not name.isprintable():
            raise DataError(
                f"{str(item.path)!r}: its {what} {name!r} holds a character that cannot be printed, "
                "and that tables would not bring back; rename it"
            )


def require_distinct_groups(groups: Iterable[str]) -> None:
    """Refuses two spellings of a group that cannot be told apart on a screen: it could cross a fold."""
    first: dict[str, str] = {}
    for name in groups:
        if (before := first.setdefault(unicodedata.normalize("NFC", name), name)) != name:
            raise DataError(
                f"the groups {before!a} and {name!a} read the same and would be two; write them with the "
                "same characters (unicodedata.normalize('NFC', …) makes them so)"
            )
