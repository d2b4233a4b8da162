"""Records and their predictions in a folder: one file each, found by variant and id."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from cervbench.atomic import write_text
from cervbench.error import CervbenchError
from cervbench.plugin.settings import wrong_values
from cervbench.records.record import Record
from cervbench.records.table import read_table, to_columns, write_table


class RecordError(CervbenchError):
    """A record cannot be read or does not hold what it claims; the message names the file."""


_REMEDY = "Restore it from a copy; or delete it, and the command that made it makes it again"


@dataclass(frozen=True)
class Store:
    """The output folder: `records/<variant>/<id>.json`, `predictions/<variant>/<id>.parquet`."""

    root: Path

    @classmethod
    def holding(cls, path: Path) -> "Store":
        """The output folder that a record lies in."""
        folders = path.absolute().parents
        if len(folders) < 3 or folders[1].name != "records":
            raise RecordError(
                f"{path}: a record lies in <out>/records/<variant>/, from where its predictions are found; "
                "put it back there"
            )
        return cls(folders[2])

    def record_path(self, variant: str, id: str) -> Path:
        return self.root / "records" / variant / f"{id}.json"

    def predictions_path(self, variant: str, id: str) -> Path:
        return self.root / "predictions" / variant / f"{id}.parquet"

    def has(self, variant: str, id: str) -> bool:
        """Whether both are there: without its predictions a record is worth nothing, and is made again."""
        return self.record_path(variant, id).exists() and self.predictions_path(variant, id).exists()

    def read(self, variant: str, id: str) -> Record:
        path = self.record_path(variant, id)
        return self.unchanged(path, read_bytes(path))

    def write(self, record: Record) -> Path:
        """The predictions must be there already: a record is never without its table."""
        path = self.record_path(record.run.dataset.variant, record.id)
        if not self.predictions_path(record.run.dataset.variant, record.id).exists():
            raise RecordError(f"{path}: predictions are written before their record")
        text = json.dumps(record.model_dump(mode="json", by_alias=True), indent=1, sort_keys=True)
        write_text(path, text + "\n")
        return path

    def write_predictions(self, variant: str, id: str, table: pa.Table) -> None:
        write_table(self.predictions_path(variant, id), table)

    def table(self, variant: str, id: str) -> pa.Table:
        """The stored table of a record, as read back."""
        return read_table(self.predictions_path(variant, id))

    def columns(self, record: Record) -> dict[str, np.ndarray]:
        """The same as plain arrays."""
        return to_columns(self.table(record.run.dataset.variant, record.id))

    def paths(self) -> list[Path]:
        """Of every record, in the order of variant and id."""
        root = self.root / "records"
        variants = sorted(entry.name for entry in _entries(root) if entry.is_dir())
        return [
            root / variant / name
            for variant in variants
            for name in sorted(entry.name for entry in _entries(root / variant))
            if name.endswith(".json")
        ]

    def records(self) -> Iterator[Record]:
        """Every record, in the order of variant and id."""
        for path in self.paths():
            yield self.unchanged(path, read_bytes(path))

    def unchanged(self, path: Path, content: bytes) -> Record:
        """The record that a path holds, refused where its name or an entry of it was changed."""
        record = parse_record(path, content)
        if path != self.record_path(record.run.dataset.variant, record.id):
            raise RecordError(
                f"{path}: what it holds has the id {record.id}; its name or an entry was changed. {_REMEDY}"
            )
        if record.seal != record.seal_of_content():
            raise RecordError(
                f"{path}: an entry was changed after it was written; `cervbench verify {path}` says which. "
                f"{_REMEDY}"
            )
        return record


def read_record(path: Path) -> Record:
    return parse_record(path, read_bytes(path))


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, str(error)) from None


def parse_record(path: Path, content: bytes) -> Record:
    try:
        return Record.model_validate_json(content)
    except ValidationError as error:
        told = wrong_values(error, most=3)
    except ValueError as error:
        told = str(error)
    raise _unreadable(path, told)


def _unreadable(path: Path, told: str) -> RecordError:
    return RecordError(f"{path} is cut short, or no record of this version: {told}. {_REMEDY}")


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
