"""A card for the user's own images: a manifest, or a folder of class folders."""

import re
from collections.abc import Callable, Container, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from cervbench.data.cards.card import SPLITS, Card, Item, Source
from cervbench.data.cards.listing import image_files
from cervbench.data.cards.table import Row, read_table
from cervbench.data.error import DataError
from cervbench.error import first_few

NEEDED, OPTIONAL = ("path", "label"), ("group", "split")
NAMES_OF_SPLITS = {*SPLITS, "valid", "validation", "dev"}


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
        return _card(name, title, path, path, _from_folders, groups_known=False)
    columns, _ = read_table(path, NEEDED, OPTIONAL)
    _refuse_near_misses(columns, path)
    return _card(name, title, path, path.parent, lambda _: _from_manifest(path), "group" in columns)


def _card(
    name: str,
    title: str,
    path: Path,
    folder: Path,
    items: Callable[[Path], Sequence[Item]],
    groups_known: bool,
) -> Card:
    classes = sorted({item.label for item in items(folder) if item.label is not None})
    if len(classes) < 2:
        raise DataError(
            f"{path} has {len(classes)} classes, and there is nothing to tell apart with fewer than two"
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


def _refuse_near_misses(columns: Sequence[str], manifest: Path) -> None:
    """A column `Group`, say, would silently be ignored, and every image would stand for itself."""
    for column in set(columns) - {*NEEDED, *OPTIONAL}:
        for meant in get_close_matches(column.lower(), set(OPTIONAL) - set(columns), cutoff=0.7):
            raise DataError(
                f"{manifest}: the column {column!r} would not be read; if it is {meant!r}, call it so, "
                "and if not, give it another name"
            )


def _from_folders(folder: Path) -> list[Item]:
    found = []
    class_folders = [
        each for each in sorted(folder.iterdir()) if each.is_dir() and not each.name.startswith(".")
    ]
    if class_folders and all(each.name.lower() in NAMES_OF_SPLITS for each in class_folders):
        raise DataError(
            f"{folder} holds {', '.join(each.name for each in class_folders)}, which are splits and no "
            "classes; write a manifest with the column split, or name one of these folders"
        )
    for class_folder in class_folders:
        images = list(image_files(class_folder))
        if not images:
            raise DataError(f"{class_folder} holds no image; fill this class, or remove its folder")
        for image in images:
            id = image.relative_to(folder).with_suffix("").as_posix()
            found.append(Item(id, class_folder.name, id, image))
    return found


def _from_manifest(manifest: Path) -> list[Item]:
    columns, rows = read_table(manifest, NEEDED, OPTIONAL)
    items: list[Item] = []
    row_of: dict[Path, int] = {}
    missing = []
    for number, row in rows:
        where = f"{manifest}, row {number}"
        item = _item(row, columns, manifest.parent, where)
        if item.path in row_of:
            raise DataError(f"{where}: {row['path']} stands in row {row_of[item.path]} already; remove one")
        row_of[item.path] = number
        if not item.path.is_file():
            missing.append(f"row {number}: {row['path']}")
        items.append(item)
    if missing:
        raise DataError(f"{manifest} names {len(missing)} files that are not there: {first_few(missing)}")
    _refuse_crossing(items, row_of, manifest)
    return items


def _item(row: Row, columns: Sequence[str], folder: Path, where: str) -> Item:
    for column in ("path", "group", "split"):
        if column in columns and not row[column]:
            raise DataError(
                f"{where}: {column} is empty; fill it in every row, or leave out an optional column"
            )
    if not Path(row["path"]).name:
        raise DataError(f"{where}: {row['path']!r} is no file")
    if ".." in Path(row["path"]).parts:
        raise DataError(
            f"{where}: {row['path']} leaves the folder of the manifest; write it as an absolute path"
        )
    if "split" in columns and row["split"] not in SPLITS:
        raise DataError(f"{where}: split is {row['split']!r}, and can be {', '.join(SPLITS)}")
    id = Path(row["path"]).with_suffix("").as_posix()
    return Item(id, row["label"] or None, row.get("group", id), folder / row["path"], split=row.get("split"))


def _refuse_crossing(items: Sequence[Item], row_of: Mapping[Path, int], manifest: Path) -> None:
    first: dict[str, Item] = {}
    for item in items:
        before = first.setdefault(item.group, item)
        if before.split != item.split:
            raise DataError(
                f"{manifest}: group {item.group!r} is in two splits, {before.split} in row "
                f"{row_of[before.path]} and {item.split} in row {row_of[item.path]}; a group belongs to one"
            )
