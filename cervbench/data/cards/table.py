"""Reading a csv table of a dataset: its columns by name, its rows by number."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cervbench.data.error import DataError

Row = Mapping[str, str]


def read_table(
    path: Path, needed: Sequence[str], optional: Sequence[str] = ()
) -> tuple[list[str], list[tuple[int, Row]]]:
    """The columns, and the rows with their line numbers; space around values is dropped."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.DictReader(text, strict=True)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = [(reader.line_num, row) for row in reader if not _is_blank(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a csv file in UTF-8: {error}; save it as one") from None
    missing = set(needed) - set(columns)
    if missing:
        if len(columns) == 1 and (other := next((mark for mark in ";\t" if mark in columns[0]), None)):
            raise DataError(f"{path}: its first row has {other!r} and no ','; separate columns with commas")
        may = f" (and may name {' and '.join(optional)})" if optional else ""
        raise DataError(
            f"{path} lacks the column {' and '.join(sorted(missing))}; its first row names "
            f"{', '.join(columns) or 'nothing'}, and must name {', '.join(needed)}{may}"
        )
    if twice := [name for name in (*needed, *optional) if columns.count(name) > 1]:
        raise DataError(
            f"{path} names the column {' and '.join(twice)} more than once; keep the one that is meant"
        )
    for number, row in rows:
        if None in row and any(map(str.strip, row[None])):
            raise DataError(f"{path}, row {number} has more values than columns; quote values with a comma")
        if None in row.values():
            raise DataError(f"{path}, row {number} has fewer values than columns; the file may be cut short")
    return columns, [(number, {key: row[key].strip() for key in columns}) for number, row in rows]


def _is_blank(row: Mapping[str | None, Any]) -> bool:
    """Whether it has commas alone, as spreadsheets save rows that look empty."""
    surplus = row.get(None, [])
    named = [value or "" for name, value in row.items() if name is not None]
    return not any(value.strip() for value in [*named, *surplus])
