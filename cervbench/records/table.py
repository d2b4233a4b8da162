"""The table of predictions: one canonical form on disk, hashed by content, written whole or not at all."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cervbench.atomic import write_atomically

KEYS = ("image", "group", "label", "draw")


def canonical(columns: Mapping[str, np.ndarray]) -> pa.Table:
    """Keys first, then the other columns by their own order; float32; rows by draw, then image."""
    order = np.lexsort((np.asarray(columns["image"], dtype=str), columns["draw"]))
    names = [*KEYS, *(name for name in columns if name not in KEYS)]
    arrays = []
    for name in names:
        values = np.asarray(columns[name])[order]
        if name == "draw":
            arrays.append(pa.array(values.astype(np.int16)))
        elif values.dtype.kind == "f":
            arrays.append(pa.array(values.astype(np.float32)))
        elif values.dtype.kind in "iub":
            arrays.append(pa.array(values.astype(np.int64)))
        else:
            arrays.append(pa.array(values.astype(str).tolist(), pa.string()))
    return pa.table(arrays, names=names)


def content_hash(table: pa.Table) -> str:
    """SHA-256 over column names, types and values; independent of compression and file layout."""
    hasher = hashlib.sha256()
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        hasher.update(f"{name}:{column.type}:{len(column)}\n".encode())
        if pa.types.is_string(column.type):
            for value in column.to_pylist():
                encoded = value.encode()
                hasher.update(len(encoded).to_bytes(4, "little") + encoded)
        else:
            hasher.update(np.ascontiguousarray(column.to_numpy(zero_copy_only=False)).tobytes())
    return hasher.hexdigest()


def write_table(path: Path, table: pa.Table) -> None:
    def write(beside: Path) -> None:
        pq.write_table(table, beside, compression="zstd", compression_level=19)

    write_atomically(path, write)


def read_table(path: Path) -> pa.Table:
    return pq.ParquetFile(path).read()


def to_columns(table: pa.Table) -> dict[str, np.ndarray]:
    """Plain arrays; strings as objects."""
    return {name: table.column(name).to_numpy() for name in table.column_names}
