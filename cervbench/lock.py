"""One process at a time, by a lock that ends with the process that holds it, however that ends."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cervbench.atomic import naming
from cervbench.error import CervbenchError

if TYPE_CHECKING:
    from filelock import BaseFileLock

ASKS_AGAIN = 1.0
"""Seconds. Hundreds of processes of a cluster may wait for one, and each look is work for its file server."""
_HAS_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


class LockError(CervbenchError):
    """The disk has no locks, as some network file systems are mounted."""


@contextmanager
def locked(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Holds the lock of this path; `waiting` is called once if another process has it."""
    from filelock import FileLock

    lock = FileLock(path)
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _acquire(lock, waiting)
        except OSError as error:
            if error.errno not in _HAS_NO_LOCKS:
                raise
            raise LockError(
                f"{path} cannot be locked: this disk has no locks, or none that end with their process, and "
                "two processes would spoil each other's work. Choose a folder on another disk (--out, "
                "--pages, CERVBENCH_CACHE), or have this one mounted with locks (Lustre: flock)"
            ) from error
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: "BaseFileLock", waiting: Callable[[], None] | None) -> None:
    from filelock import Timeout

    try:
        lock.acquire(timeout=0)
    except Timeout:
        _refuse_makeshift(lock)
        if waiting:
            waiting()
        lock.acquire(poll_interval=ASKS_AGAIN)
    _refuse_makeshift(lock)


def _refuse_makeshift(lock: "BaseFileLock") -> None:
    """Where there are no locks, filelock makes do with a file, which stays when its process is killed."""
    from filelock import SoftFileLock

    if isinstance(lock, SoftFileLock):
        lock.release(force=True)
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
