"""Read records into rows. A record is checked once; the cache then knows it by its path and content."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cervbench.leaderboard.cache import Cache, in_batches, key_of_bytes
from cervbench.leaderboard.rows import CheckedRecord, Row, StoredRecord, checked
from cervbench.records.store import Store, read_bytes

_AT_ONCE = 500


def gather(store: Store, paths: Sequence[Path], cache: Cache) -> list[Row]:
    """The rows of these records; RecordError if a record is not what its name and its seal say."""
    rows: dict[str, Row] = {}
    for some in in_batches(paths, _AT_ONCE):
        for path, content, found in _checked(store, some, cache):
            if found.row not in rows:
                rows[found.row] = Row(store.record(path, content))
            rows[found.row].add(found)
    return list(rows.values())


def _checked(
    store: Store, paths: Sequence[Path], cache: Cache
) -> Iterator[tuple[Path, bytes, CheckedRecord]]:
    contents = [read_bytes(path) for path in paths]
    keys = [
        key_of_bytes(f"record {path.parent.name}/{path.name} ".encode() + content)
        for path, content in zip(paths, contents, strict=True)
    ]
    known = cache.known(keys)
    new = {}
    for path, content, key in zip(paths, contents, keys, strict=True):
        if key in known:
            found = _from_json(known[key])
        else:
            found = new[key] = checked(store.record(path, content))
        store.require_predictions(path.parent.name, path.stem)  # even if all figures are cached
        yield path, content, found
    cache.keep(new)


def _from_json(kept: Sequence[Any]) -> CheckedRecord:
    row, fold, ratio, stored, observed, devices = kept
    return CheckedRecord(row, fold, ratio, StoredRecord(*stored), observed, devices)
