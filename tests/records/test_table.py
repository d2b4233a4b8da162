"""The stored table: its hash is the one that docs/records.md describes, and nothing in it may be missing."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cervbench.records.table import canonical, content_hash, read_table, to_columns, write_table


def by_hand(table: pa.Table) -> str:
    """Column by column, value by value."""
    hasher = hashlib.sha256()
    for name in table.column_names:
        column = table.column(name)
        hasher.update(f"{name}:{column.type}:{len(column)}\n".encode())
        for value in column.to_pylist():
            if isinstance(value, str):
                hasher.update(len(value.encode()).to_bytes(4, "little") + value.encode())
            else:
                hasher.update({"int16": np.int16, "float": np.float32}[str(column.type)](value).tobytes())
    return hasher.hexdigest()


WHOLE = pa.table(
    {
        "image": ["a", "", "µ-long name", "日本", "x" * 300],
        "draw": pa.array([0, 1, 2, 3, -1], pa.int16()),
        "p_é": pa.array([0.1, 0.2, 1e-30, float("nan"), 1], pa.float32()),
    }
)


@pytest.mark.parametrize(
    "table",
    [
        WHOLE,
        WHOLE.slice(1, 3),
        WHOLE.slice(0, 0),
        pa.concat_tables([WHOLE.slice(2), WHOLE, WHOLE.slice(1, 2)]),
        pa.table({"image": pa.array([], pa.string())}),
        pa.table({"image": ["", ""]}),
    ],
    ids=["whole", "part", "empty part", "in chunks", "without rows", "empty strings"],
)
def test_the_hash_is_of_names_types_and_values_one_after_the_other(table: pa.Table) -> None:
    assert content_hash(table) == by_hand(table)


def test_what_is_scored_before_it_is_stored_is_what_is_read_back(tmp_path: Path) -> None:
    columns = {
        "draw": np.array([1, 0, 1, 0]),
        "p_b": np.array([0.1, 1 / 3, np.nan, 1e-60]),
        "sure": np.array([True, False, True, True]),
        "label": np.array(["b", "a", "", "µ"], dtype=object),
        "image": np.array(["y", "y", "x", "x"]),
        "group": np.array(["1", "2", "3", "4"]),
    }
    table = canonical(columns)
    write_table(tmp_path / "table.parquet", table)
    again = read_table(tmp_path / "table.parquet")
    assert again.schema.names == table.schema.names == ["image", "group", "label", "draw", "p_b", "sure"]
    for name, values in to_columns(again).items():
        np.testing.assert_array_equal(values, to_columns(table)[name], strict=True)


def test_what_tables_share_cannot_be_changed_through_one_of_them() -> None:
    first, second = to_columns(WHOLE), to_columns(WHOLE.slice(0))
    with pytest.raises(ValueError, match="read-only"):
        first["image"].sort()
    assert list(second["image"]) == WHOLE["image"].to_pylist()


def test_a_table_is_read_without_pandas(tmp_path: Path) -> None:
    write_table(tmp_path / "table.parquet", WHOLE)
    program = (
        "import sys; from pathlib import Path; from cervbench.records.table import *\n"
        "table = read_table(Path(sys.argv[1])); print(content_hash(table), 'pandas' in sys.modules)\n"
        "print(*to_columns(table)['draw'], 'pandas' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "table.parquet"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [f"{content_hash(WHOLE)} False", "0 1 2 3 -1 False"]


def test_a_table_with_a_value_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_table(path, WHOLE)
    assert content_hash(read_table(path)) == content_hash(WHOLE)
    write_table(path, pa.table({"image": ["a", None], "draw": [0, 0]}))
    with pytest.raises(ValueError, match="values missing in column image"):
        read_table(path)


@pytest.mark.parametrize(("limit", "most"), [("MOST_VALUES", 14), ("MOST_BYTES", 300)])
def test_a_table_that_would_fill_the_memory_is_refused_before_it_is_read(
    limit: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(tmp_path / "table.parquet", WHOLE)
    monkeypatch.setattr(f"cervbench.records.table.{limit}", most)
    with pytest.raises(ValueError, match=r"it has 5 rows of 3 columns in .* bytes; at most"):
        read_table(tmp_path / "table.parquet")


def test_text_that_is_none_is_refused_where_it_is_read(tmp_path: Path) -> None:
    """Regression: it failed later, with a traceback that kept `verify` from looking at other records."""
    ends, text = pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"\xff\xfe")
    broken = pa.Array.from_buffers(pa.string(), 1, [None, ends, text])
    write_table(tmp_path / "table.parquet", pa.table({"image": broken}))
    with pytest.raises(ValueError, match="UTF8"):
        read_table(tmp_path / "table.parquet")


def test_a_pipe_in_the_place_of_a_table_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "table.parquet")
    with pytest.raises(OSError, match="it is no file"):
        read_table(tmp_path / "table.parquet")


def test_a_table_with_two_columns_of_one_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_table(path, WHOLE.append_column("image", WHOLE.column("image")))
    with pytest.raises(ValueError, match="two columns have the same name"):
        read_table(path)
