"""The table of predictions: one canonical form on disk, hashed by content, written whole or not at all."""

import hashlib
import os
import stat
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cervbench.atomic import write_atomically

KEYS = ("image", "group", "label", "draw")

MOST_VALUES, MOST_BYTES = 50_000_000, 2**30
"""Of a table that is read: what is repeated takes no room in a file, but all of it in memory."""


def canonical(columns: Mapping[str, np.ndarray]) -> pa.Table:
    """Keys first, then the other columns in their own order; floats as float32; rows by draw, then image."""
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
            hasher.update(_strings(column).measured)
        else:
            hasher.update(np.ascontiguousarray(_numbers(column)).tobytes())
    return hasher.hexdigest()


class _Strings(NamedTuple):
    measured: bytes
    """Each value in UTF-8, preceded by its length as four little-endian bytes."""
    values: NDArray[np.object_]


def _strings(column: pa.StringArray) -> _Strings:
    _, ends, text = column.buffers()
    if text is None:  # there is no text, or none but empty ones
        return _strings_of(bytes(4 * (len(column) + 1)), b"")
    offsets = np.frombuffer(ends, np.int32)[column.offset : column.offset + len(column) + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    return _strings_of((offsets - first).tobytes(), text.slice(first, last - first).to_pybytes())


@lru_cache(32)
def _strings_of(offsets: bytes, text: bytes) -> _Strings:
    """Without a loop over values. Tables of a fold share images, groups and labels: these are done once."""
    ends = np.frombuffer(offsets, np.int32)
    of_length = (ends[:-1] + 4 * np.arange(len(ends) - 1))[:, None] + np.arange(4)
    is_text = np.ones(len(text) + of_length.size, dtype=bool)
    is_text[of_length] = False
    measured = np.empty(len(is_text), dtype=np.uint8)
    measured[of_length] = np.diff(ends).astype("<i4")[:, None].view(np.uint8)
    measured[is_text] = np.frombuffer(text, np.uint8)
    column = pa.StringArray.from_buffers(len(ends) - 1, pa.py_buffer(offsets), pa.py_buffer(text))
    values = np.array(column.to_pylist(), dtype=object)  # not `to_numpy`: see `_numbers`
    values.setflags(write=False)
    return _Strings(measured.tobytes(), values)


def write_table(path: Path, table: pa.Table) -> None:
    """Keys repeat, so a dictionary makes them short; numbers hardly do, and it would make them longer."""

    def write(beside: Path) -> None:
        pq.write_table(table, beside, use_dictionary=[*KEYS], compression="zstd", compression_level=19)

    write_atomically(path, write)


def read_table(path: Path) -> pa.Table:
    """Single-threaded: waking a pool costs more than reading so small a table."""
    file = pq.ParquetFile(pa.BufferReader(regular_bytes(path)), pre_buffer=False)
    said = file.metadata
    size = sum(said.row_group(number).total_byte_size for number in range(said.num_row_groups))
    if said.num_rows * said.num_columns > MOST_VALUES or size > MOST_BYTES:
        raise ValueError(
            f"it has {said.num_rows:,} rows of {said.num_columns} columns in {size:,} bytes; at most "
            f"{MOST_VALUES:,} values in {MOST_BYTES:,} bytes are read"
        )
    table = file.read(use_threads=False)
    table.validate(full=True)  # or text that is none fails far from here
    if len(set(table.column_names)) < len(table.column_names):
        raise ValueError("two columns have the same name")
    if gaps := [name for name in table.column_names if table.column(name).null_count]:
        raise ValueError(f"there are values missing in column {gaps[0]}")
    return table


def regular_bytes(path: Path) -> bytes:
    """What a file holds. A device or a pipe under its name would never end."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError("it is no file")
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)


def to_columns(table: pa.Table) -> dict[str, np.ndarray]:
    """Plain arrays, shared and not to be written to; strings as objects."""
    return {name: _plain(table.column(name)) for name in table.column_names}


def _plain(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_string(column.type):
        return _strings(column.combine_chunks()).values
    return _numbers(column.combine_chunks())


def _numbers(column: pa.Array) -> np.ndarray:
    """Shared with the table, where that can be. `to_numpy` imports pandas, which takes half a second."""
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return np.from_dlpack(column)
    return column.to_numpy(zero_copy_only=False)
