"""What was computed from predictions, kept by their content hashes; losing it costs time and nothing else."""

import hashlib
import json
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

_SETUP = """
pragma journal_mode = wal;
pragma synchronous = normal;
create table if not exists figures (key text primary key, value text) without rowid;
"""


class Cache:
    """Values by key in one file; where it cannot be read or written, it forgets."""

    def __init__(self, folder: Path) -> None:
        self._database: sqlite3.Connection | None = None
        with suppress(OSError, sqlite3.Error):
            folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(folder / "leaderboard.sqlite", timeout=30, isolation_level=None)
        self._attempt(lambda database: database.executescript(_SETUP))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def of(self, *what: object, compute: Callable[[], Any]) -> Any:
        """The JSON value that these words and hashes stand for, computed where it is not known yet."""
        described = json.dumps([_definitions(), *what], sort_keys=True)
        key = hashlib.sha256(described.encode()).hexdigest()
        select = "select value from figures where key = ?"
        row = self._attempt(lambda database: database.execute(select, (key,)).fetchone())
        if row is not None:
            return json.loads(row[0])
        text = json.dumps(compute())
        insert = "insert or replace into figures values (?, ?)"
        self._attempt(lambda database: database.execute(insert, (key, text)))
        return json.loads(text)

    def _attempt(self, action: Callable[[sqlite3.Connection], Any]) -> Any:
        if self._database is None:
            return None
        try:
            return action(self._database)
        except sqlite3.Error:
            self._close()
            return None

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


@cache
def _definitions() -> str:
    """Changes whenever a figure's definition may have: the text of what computes it, and numpy's version."""
    text = hashlib.sha256(np.__version__.encode())
    scoring = sorted(files("cervbench.scoring").iterdir(), key=lambda module: module.name)
    for module in [*scoring, files("cervbench.leaderboard").joinpath("figures.py")]:
        if module.name.endswith(".py"):
            text.update(module.read_bytes())
    return text.hexdigest()[:16]
