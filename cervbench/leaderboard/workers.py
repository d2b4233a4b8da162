"""Other processes to share work with, which are started once there is enough for them."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context, parent_process
from types import TracebackType
from typing import Self, TypeVar

from threadpoolctl import threadpool_limits

from cervbench.leaderboard.cache import DEFINITIONS

WORTH_WORKERS = 500
"""With fewer records than this, starting other processes takes longer than computing alone."""
_SENT_AT_ONCE = 8
_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


class Workers:
    """A `map` for work on records, by up to so many processes of one thread; one is this process itself."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(
        self, function: Callable[[_Item], _Answer], items: Iterable[_Item], records: int
    ) -> Iterator[_Answer]:
        """The answers in the order of the items, which rest on so many records."""
        if self._pool is None and self._count > 1 and records >= WORTH_WORKERS:
            self._start()
        if self._pool is not None:
            yield from self._pool.map(function, items, chunksize=_SENT_AT_ONCE)
        elif records:
            with threadpool_limits(1):
                yield from map(function, items)

    def _start(self) -> None:
        with suppress(OSError, ImportError, NotImplementedError):  # in a container without /dev/shm, say
            self._pool = ProcessPoolExecutor(self._count, get_context("spawn"), _begin_work, (DEFINITIONS,))


ALONE = Workers(1)


def _begin_work(definitions: bytes) -> None:
    """Set up a worker: one thread, Ctrl-C left to the parent process, and no life beyond the parent's."""
    if definitions != DEFINITIONS:
        raise RuntimeError("the code of cervbench was changed on the disk meanwhile: give the command again")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    threadpool_limits(1)


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)
