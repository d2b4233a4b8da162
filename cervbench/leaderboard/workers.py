"""A `map` over what figures are computed from, which uses several processes if there is enough to do."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import get_context, parent_process
from typing import Any

from threadpoolctl import threadpool_limits

from cervbench.leaderboard.cache import DEFINITIONS

WORTH_WORKERS = 500
"""With fewer records than this, starting other processes takes longer than computing alone."""
_SENT_AT_ONCE = 4


@contextmanager
def mapping(workers: int, records: int) -> Iterator[Callable[..., Iterable[dict[str, Any]]]]:
    """By up to so many workers, for figures that rest on so many records; each computes on one thread."""
    pool = _pool(workers) if workers > 1 and records >= WORTH_WORKERS else None
    if pool is None:
        with threadpool_limits(1):
            yield map
        return
    try:
        yield partial(pool.map, chunksize=_SENT_AT_ONCE)
    finally:
        pool.shutdown(cancel_futures=True)


def _pool(workers: int) -> ProcessPoolExecutor | None:
    """None where the system has no means for it, as a container without /dev/shm."""
    with suppress(OSError, ImportError, NotImplementedError):
        return ProcessPoolExecutor(workers, get_context("spawn"), _begin_work, (DEFINITIONS,))
    return None


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
