"""Where a run happens: folders, device, threads."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from cervbench.error import UsageError
from cervbench.lock import locked


class PlaceError(UsageError, ValueError):
    """A folder or number of a place, or a variable that says it, cannot be used."""


CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Of a container, as Linux tells it (cgroups of version 2)."""

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?", re.ASCII)

OUTPUT = Path("leaderboards")
"""Where records and pages go by default."""


def _told(variable: str) -> str:
    """The value of an environment variable; like XDG, an empty one counts as unset."""
    return os.environ.get(variable, "")


def folder(told: str | PathLike[str]) -> Path:
    """The path that was told, of which `~` is the home of the user."""
    try:
        return Path(told).expanduser()
    except RuntimeError as error:
        raise PlaceError(f"{told}: {error} Write the path without ~") from None


def data_root() -> Path:
    """Holds one folder per dataset; only `data fetch` writes to it."""
    return folder(_told("CERVBENCH_DATA") or "data")


def cache_root() -> Path:
    """Holds packs, encoders, checkpoints, downloads and recomputed scores, all of which can be deleted."""
    if told := _told("CERVBENCH_CACHE"):
        return folder(told)
    if told := _told("XDG_CACHE_HOME"):
        return folder(told) / "cervbench"
    try:
        return Path.home() / ".cache" / "cervbench"
    except RuntimeError as error:  # in a container, for example, whose user has no name
        raise PlaceError(f"{error} Say with CERVBENCH_CACHE where packs and encoders go") from None


def checkpoint_seconds() -> float:
    """How long a stage trains between checkpoints: longer if saving takes long, and a single step if 0."""
    given = _told("CERVBENCH_CHECKPOINT_SECONDS") or "30"
    try:
        return float(given)
    except ValueError:
        raise PlaceError(f"CERVBENCH_CHECKPOINT_SECONDS is {given!r}, and has to be a number") from None


def cores() -> int:
    """How many processor cores this process may use: a scheduler or a container may give it few of many."""
    of_it = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # "max 100000", or microseconds of use in microseconds of time
        quota, period = map(int, CPU_QUOTA.read_text("ascii").split())
        return max(1, min(of_it, quota // period))
    return of_it


@dataclass(frozen=True)
class Place:
    """Where a run happens, none of which is part of what it is.

    `data_root` has a folder for each dataset (by default CERVBENCH_DATA, or ./data), `cache` keeps packs and
    encoders (CERVBENCH_CACHE, or ~/.cache/cervbench), and `out` takes records and pages (./leaderboards).
    `device` is auto, cpu, cuda or, of several, cuda:1. `threads` are those of the processor, and None leaves
    them to torch; results are the same bit for bit only with the same number. `checkpoint_seconds` is how
    long a stage trains between checkpoints (CERVBENCH_CHECKPOINT_SECONDS, or 30).
    """

    data_root: Path = field(default_factory=data_root)
    cache: Path = field(default_factory=cache_root)
    out: Path = OUTPUT
    device: str = "auto"
    threads: int | None = None
    checkpoint_seconds: float = field(default_factory=checkpoint_seconds)

    if TYPE_CHECKING:  # the same arguments, of which folders may be text

        def __init__(
            self,
            data_root: str | PathLike[str] = ...,
            cache: str | PathLike[str] = ...,
            out: str | PathLike[str] = ...,
            device: str = ...,
            threads: int | None = ...,
            checkpoint_seconds: float = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        for name in ("data_root", "cache", "out"):
            object.__setattr__(self, name, folder(getattr(self, name)))
        if not self.checkpoint_seconds >= 0:  # nan is refused too, with which nothing would ever be saved
            raise PlaceError(f"checkpoint_seconds is {self.checkpoint_seconds}; say 0 or more")
        object.__setattr__(self, "device", str(self.device))  # as a torch.device is, too
        if not _DEVICE.fullmatch(self.device):
            raise PlaceError(f"device is {self.device!r}; say auto, cpu, cuda or, of several, cuda:1")
        if self.threads is not None and self.threads < 1:
            raise PlaceError(f"threads is {self.threads}; say 1 or more, or None to leave it to torch")

    def pretraining(self, run_id: str) -> Path:
        """The folder of one pretraining, created if missing: its weights, and all checkpoints of its run."""
        folder = self.cache / "pretrainings" / run_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def locked(self, run_id: str, waiting: Callable[[], None]) -> Iterator[None]:
        """Lets one process at a time work on a run, whether the others share its cache or its output folder.

        `waiting` is called if another one is at it.
        """
        locks = (self.pretraining(run_id).with_suffix(".lock"), self.out / ".locks" / f"{run_id}.lock")
        with locked(locks[0], waiting), locked(locks[1], waiting):
            yield
