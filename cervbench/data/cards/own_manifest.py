"""The images that a manifest lists: a csv file with a row for each."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from cervbench.data.cards.item import SPLITS, Item
from cervbench.data.cards.table import Row, read_table
from cervbench.data.error import DataError
from cervbench.error import first_few, warn_once

NEEDED, OPTIONAL = ("path", "label"), ("group", "split")


def columns(manifest: Path) -> list[str]:
    """Its columns; a warning names those that are not read."""
    found, _ = read_table(manifest, NEEDED, OPTIONAL)
    _refuse_near_misses(found, manifest)
    if unread := [name for name in found if name and name not in (*NEEDED, *OPTIONAL)]:
        known = ", ".join(NEEDED + OPTIONAL)
        warn_once(f"{manifest}: not read: {', '.join(unread)}; what is read: {known}")
    return found


def items(manifest: Path) -> list[Item]:
    named, rows = read_table(manifest, NEEDED, OPTIONAL)
    found: list[Item] = []
    row_of: dict[Path, int] = {}
    missing = []
    for number, row in rows:
        where = f"{manifest}, row {number}"
        item = _item(row, named, manifest.parent, where)
        if item.path in row_of:
            raise DataError(f"{where}: {row['path']} stands in row {row_of[item.path]} already; remove one")
        row_of[item.path] = number
        if not item.path.is_file():
            missing.append(f"row {number}: {row['path']}")
        found.append(item)
    if missing:
        hint = "; write / between folders, on Windows too" if any("\\" in one for one in missing) else ""
        raise DataError(
            f"{manifest} names {len(missing)} files that are not there: {first_few(missing)}{hint}"
        )
    _refuse_crossing(found, row_of, manifest)
    return found


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
            f"{where}: {row['path']} goes up by `..`, which an id cannot; write an absolute path without it"
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


def _refuse_near_misses(columns: Sequence[str], manifest: Path) -> None:
    """A column `Group`, say, would silently be ignored, and every image would stand for itself."""
    for column in set(columns) - {*NEEDED, *OPTIONAL}:
        for meant in get_close_matches(column.lower(), set(OPTIONAL) - set(columns), cutoff=0.7):
            raise DataError(
                f"{manifest}: the column {column!r} would not be read; if it is {meant!r}, call it so, "
                "and if not, give it another name"
            )
