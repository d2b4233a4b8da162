"""Writing a file, or a folder, whole or not at all; and removing a folder so.

Guarantees: whoever reads the path sees the old content or the new, never a part, even when the
writer is killed or the power fails. Does not guarantee which of two writers wins; locks do that.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

MANY = 100
"""Files from which on it is quicker to flush all that the system has to write."""


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a file beside `path`, flush it to disk, and rename it into place."""
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        beside = Path(name)
        try:
            write(beside)
            beside.chmod(0o644)
            _sync(beside)
            beside.replace(path)
            _sync_folder(path.parent)
        finally:
            beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda beside: _fill(beside, text))


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which takes its place at `path` when all of it is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield beside
        with naming(path):
            _sync_all(list(beside.rglob("*")))
            beside.chmod(0o755)
            beside.rename(path)
            _sync_folder(path.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def discard(folder: Path) -> None:
    """Remove a folder, if there is one: out of sight in one step first, so that no kill leaves half of it."""
    for left in folder.parent.glob(".done-*"):  # by such a kill
        shutil.rmtree(left, ignore_errors=True)
    if folder.exists():
        beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".done-"))
        folder.rename(beside / folder.name)
        shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """What the system refuses meanwhile, a full disk say, names this path; by itself it names none."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def _fill(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _sync_all(paths: Sequence[Path]) -> None:
    """One by one, or, where they are `MANY`, together."""
    if len(paths) > MANY and hasattr(os, "sync"):
        os.sync()
        return
    for path in paths:
        (_sync_folder if path.is_dir() else _sync)(path)


def _sync(file: Path) -> None:
    with file.open("rb") as written:
        os.fsync(written.fileno())


def _sync_folder(folder: Path) -> None:
    """Without this a rename may be lost with the power; not every file system offers it."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
