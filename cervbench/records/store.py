"""Records and their predictions in a folder: one file each, found by variant and id."""

import csv
import json
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from cervbench.atomic import write_text
from cervbench.error import CervbenchError
from cervbench.plugin.settings import wrong_values
from cervbench.protocol.folds import Manifest, shipped
from cervbench.records.record import Record
from cervbench.records.table import content_hash, read_table, regular_bytes, to_columns, write_table
from cervbench.scoring.classification import revision_of_scores

_HASH = re.compile("[0-9a-f]{16}")


class RecordError(CervbenchError):
    """A record cannot be read or does not hold what it claims; the message names the file."""


_REMEDY = "Restore it from a copy; or delete it, and the command that made it makes it again"


@dataclass(frozen=True)
class Store:
    """The output folder: `records/<variant>/<id>.json`, `predictions/<variant>/<id>.parquet`, and the folds
    that do not come with the package as `folds/<hash>.csv`."""

    root: Path

    @classmethod
    def holding(cls, path: Path) -> "Store":
        """The output folder of the record at this path."""
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
        """Whether record and predictions exist: a record without predictions is worthless, and made again."""
        return self.record_path(variant, id).exists() and self.predictions_path(variant, id).exists()

    def write(self, record: Record) -> Path:
        """Write a record. Its predictions must be there already, so that a record is never without them."""
        path = self.record_path(record.run.dataset.variant, record.id)
        if not self.predictions_path(record.run.dataset.variant, record.id).exists():
            raise RecordError(f"{path}: predictions are written before their record")
        text = json.dumps(record.model_dump(mode="json", by_alias=True), indent=1, sort_keys=True)
        write_text(path, text + "\n")
        return path

    def write_predictions(self, variant: str, id: str, table: pa.Table) -> None:
        """An older record is of other predictions: it goes first, as a kill may come between the two."""
        self.record_path(variant, id).unlink(missing_ok=True)
        write_table(self.predictions_path(variant, id), table)

    def require_predictions(self, variant: str, id: str) -> None:
        path = self.predictions_path(variant, id)
        if not path.exists():
            raise _without_predictions(path)

    def table(self, variant: str, id: str) -> pa.Table:
        """The predictions of a record, whatever their hash."""
        path = self.predictions_path(variant, id)
        try:
            return read_table(path)
        except FileNotFoundError:
            raise _without_predictions(path) from None
        except (OSError, ValueError, pa.ArrowException) as error:
            raise RecordError(f"{path} cannot be read: {error}") from None

    def columns(self, variant: str, id: str, recorded_hash: str) -> dict[str, np.ndarray]:
        """The predictions of a record as plain arrays, refused if their hash is not the recorded one."""
        table = self.table(variant, id)
        if (found := content_hash(table)) != recorded_hash:
            raise RecordError(
                f"{self.predictions_path(variant, id)}: its content hashes to {found}, the record says "
                f"{recorded_hash}; one of the two was changed: restore it, or delete both and run again"
            )
        return to_columns(table)

    def write_folds(self, manifest: Manifest) -> None:
        """Write folds beside the records, so that labels and groups can be checked elsewhere too."""
        path = self._folds_path(manifest.hash)
        if not path.exists() and manifest.hash not in shipped().values():
            write_text(path, manifest.to_csv())

    def folds(self, hash: str) -> Manifest | None:
        """The folds of this hash, if they are kept here; RecordError if the file holds others."""
        if not _HASH.fullmatch(hash) or not (path := self._folds_path(hash)).exists():
            return None
        known = path.stat()
        return _folds_at(path, known.st_mtime_ns, known.st_size)

    def _folds_path(self, hash: str) -> Path:
        return self.root / "folds" / f"{hash}.csv"

    def paths(self) -> list[Path]:
        """The path of every record, in the order of variant and id."""
        root = self.root / "records"
        variants = sorted(entry.name for entry in _entries(root) if entry.is_dir())
        return [
            root / variant / name
            for variant in variants
            for name in sorted(entry.name for entry in _entries(root / variant))
            if name.endswith(".json")
        ]

    def misplaced(self) -> list[Path]:
        """JSON files below `records` that lie where no record does: nothing is made of them."""
        root = self.root / "records"
        variants = [Path(entry) for entry in _entries(root) if entry.is_dir()]
        inner = [Path(entry) for variant in variants for entry in _entries(variant) if entry.is_dir()]
        return sorted([*root.glob("*.json"), *(path for folder in inner for path in folder.rglob("*.json"))])

    def record(self, path: Path, content: bytes | None = None) -> Record:
        """The record at a path, refused if its name or an entry was changed; `content` if already read."""
        record = parse_record(path, read_bytes(path) if content is None else content)
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


@lru_cache(8)
def _folds_at(path: Path, changed: int, size: int) -> Manifest:
    """Read once for all records beside it, until the file has another time or size."""
    try:
        found = Manifest.from_csv(read_bytes(path).decode("utf-8"))
        if found.hash == path.stem:
            return found
        told = f"its content hashes to {found.hash}"
    except (ValueError, IndexError, csv.Error) as error:
        told = f"it is no table of folds: {error}"
    raise RecordError(f"{path}: {told}; restore it, or delete it, and the next run writes it again")


def read_bytes(path: Path) -> bytes:
    try:
        return regular_bytes(path)
    except OSError as error:
        raise _unreadable(path, str(error)) from None


def parse_record(path: Path, content: bytes) -> Record:
    """The record in a file, without asking whether it was changed since it was written."""
    try:
        return _scored_by_known(path, Record.model_validate_json(content))
    except ValidationError as error:
        told = wrong_values(error, most=3)
        if (schema := _newer_schema(content)) is not None:
            raise RecordError(
                f"{path} has the schema {schema}: a newer cervbench made it; update this one to read it"
            ) from None
        if all(found["type"] == "extra_forbidden" for found in error.errors()):
            raise RecordError(
                f"{path} has entries that are unknown here: another cervbench made it, or an edit: {told}. "
                "Read it with the version that stands under `observed` there"
            ) from None
    except ValueError as error:
        told = str(error)
    raise _unreadable(path, told)


def _scored_by_known(path: Path, record: Record) -> Record:
    known = revision_of_scores(record.evaluation.schema_)
    if record.scoring > known:
        raise RecordError(
            f"{path} was scored by revision {record.scoring} of the metrics, and this cervbench has {known}: "
            "update it to read that"
        )
    return record


def _without_predictions(path: Path) -> RecordError:
    return RecordError(f"{path} is missing: a record is nothing without its predictions. {_REMEDY}")


def _newer_schema(content: bytes) -> int | None:
    """The schema that a record says it has, if it is newer than this version knows."""
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return None
    schema = said.get("schema") if isinstance(said, dict) else None
    known = Record.model_fields["schema_"].default
    return schema if type(schema) is int and schema > known else None


def _unreadable(path: Path, told: str) -> RecordError:
    return RecordError(f"{path} is cut short, or no record of this version: {told}. {_REMEDY}")


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
