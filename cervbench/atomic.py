"""Writes a file or a folder completely or not at all, and removes a folder the same way.

Guaranteed: whoever reads the path sees the old content or the new, never a part of it, even if the writer is
killed or the power fails. Not guaranteed: which of two writers wins; that takes a lock.
"""

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

MANY = 100
"""Above this many files one `os.sync()` is quicker than an fsync each."""


ON_WINDOWS = os.name == "nt"
WAITS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds before the next try of a rename there, while another process has the file open."""


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a file beside `path`, flush it to disk, and rename it into place."""
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = _beside(path)
        try:
            write(beside)
            put_in_place(beside, path)
        finally:
            beside.unlink(missing_ok=True)


def put_in_place(beside: Path, path: Path) -> None:
    """Rename a file that is complete, once it is on the disk."""
    _sync(beside)
    _rename(beside, path)
    _sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda beside: _fill(beside, text))


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to fill, which is renamed to `path` once it is complete."""
    beside = _beside(path)
    beside.mkdir(parents=True)
    try:
        yield beside
        with naming(path):
            _sync_all(list(beside.rglob("*")))
            _rename(beside, path)
            _sync_folder(path.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def discard(folder: Path) -> None:
    """Remove a folder if it exists, renaming it first: a kill then cannot leave half of it at its path."""
    prefix = f".done-{folder.name}."  # of this folder alone: others may be under way under locks of their own
    for left in folder.parent.glob(f"{escape(prefix)}*"):  # left by a kill
        shutil.rmtree(left, ignore_errors=True)
    if folder.exists():
        beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=prefix))
        _rename(folder, beside / folder.name)
        shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts this path into any OSError raised inside; a full disk names no file."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def _beside(path: Path) -> Path:
    """A name that nothing has yet. What `tempfile` makes is its owner's alone, whatever the umask allows."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


def _rename(source: Path, target: Path) -> None:
    for wait in WAITS if ON_WINDOWS else ():
        try:
            source.replace(target)
        except PermissionError:
            time.sleep(wait)
        else:
            return
    source.replace(target)


def _fill(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _sync_all(paths: Sequence[Path]) -> None:
    """Flush files and folders to disk, one by one or, if there are more than `MANY`, all together."""
    if len(paths) > MANY and hasattr(os, "sync"):
        os.sync()
        return
    for path in paths:
        (_sync_folder if path.is_dir() else _sync)(path)


def _sync(file: Path) -> None:
    with file.open("r+b" if ON_WINDOWS else "rb") as written:  # Windows flushes what is open to write
        os.fsync(written.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the renames in a folder survive a power failure, on file systems that can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
