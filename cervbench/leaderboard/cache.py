"""A cache of computed figures, each under a hash of what it was computed from.

It can be deleted at any time: that costs the time to compute the figures again, and nothing else.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

_SETUP = """
pragma journal_mode = delete;
pragma synchronous = off;
create table if not exists kept (key blob primary key, value blob) without rowid;
"""
_COMPUTING = {
    "protocol": ("protocol.py",),
    "scoring": (),
    "records": (),
    "leaderboard": ("cells.py", "figures.py", "rows.py", "workers.py"),
}
"""By room, the modules whose code decides what a value is; an empty tuple stands for the whole room."""
_AT_ONCE = 500
_CHECK = 8
_Item = TypeVar("_Item")


def key_of(*what: object) -> bytes:
    """A key for these words and hashes, which also changes with the code that computes from them."""
    return key_of_bytes(json.dumps(what, sort_keys=True).encode())


def key_of_bytes(content: bytes) -> bytes:
    return hashlib.sha256(DEFINITIONS + content).digest()


def in_batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Like `itertools.batched`, which Python has from 3.12 on."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


class Cache:
    """JSON values by key, in one file. If the file cannot be read or written, the cache acts as if empty."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "leaderboard.sqlite"
        self._database: sqlite3.Connection | None = None
        self._open()
        if self._database is None:  # it was damaged, and is gone
            self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def known(self, keys: Sequence[bytes]) -> dict[bytes, Any]:
        """The values of those keys that are stored and undamaged; the others are left out."""
        found = {}
        for some in in_batches(keys, _AT_ONCE):
            for key, sealed in self._attempt(partial(_select, keys=some)) or ():
                if isinstance(sealed, bytes) and sealed[:_CHECK] == _check(key, sealed[_CHECK:]):
                    found[key] = json.loads(sealed[_CHECK:])
        return found

    def keep(self, values: Mapping[bytes, Any]) -> None:
        rows = []
        for key, value in values.items():
            text = json.dumps(value).encode()
            rows.append((key, _check(key, text) + text))

        def insert(database: sqlite3.Connection) -> None:
            database.execute("begin immediate")
            database.executemany("insert or replace into kept values (?, ?)", rows)
            database.execute("commit")

        if rows:
            self._attempt(insert)

    def _attempt(self, action: Callable[[sqlite3.Connection], Any]) -> Any:
        if self._database is None:
            return None
        try:
            return action(self._database)
        except sqlite3.Error as error:
            self._close()
            if type(error) is sqlite3.DatabaseError:  # it is damaged; other errors have classes of their own
                self._remove()
            return None

    def _open(self) -> None:
        with suppress(OSError, sqlite3.Error):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.touch()  # by the umask; SQLite would let nobody else write
            self._database = sqlite3.connect(self._file, timeout=30, isolation_level=None)
        self._attempt(lambda database: database.executescript(_SETUP))

    def _remove(self) -> None:
        """Otherwise a damaged file would be of no use to any later process."""
        for leftover in ("-journal", "-wal", "-shm", ""):
            with suppress(OSError):
                self._file.with_name(self._file.name + leftover).unlink()

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def _select(database: sqlite3.Connection, keys: Sequence[bytes]) -> list[tuple[bytes, object]]:
    marks = ",".join("?" * len(keys))
    return database.execute(f"select key, value from kept where key in ({marks})", keys).fetchall()


def _check(key: bytes, text: bytes) -> bytes:
    """A checksum of our own, since SQLite does not notice a flipped digit in a value."""
    return hashlib.sha256(key + text).digest()[:_CHECK]


def _definitions() -> bytes:
    """A hash of the code that computes values, and of the versions of the libraries that it uses."""
    text = hashlib.sha256(f"numpy {version('numpy')} scipy {version('scipy')}".encode())
    for room, computing in _COMPUTING.items():
        for module in sorted(files(f"cervbench.{room}").iterdir(), key=lambda module: module.name):
            if module.name.endswith(".py") and (not computing or module.name in computing):
                text.update(module.read_bytes())
    return text.digest()


DEFINITIONS = _definitions()
"""Taken on import, for this process goes on with the code it has imported when the files are edited."""
