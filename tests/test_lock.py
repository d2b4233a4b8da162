"""Locks: one process at a time, and never a makeshift that outlives its process."""

import errno
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from cervbench.lock import LockError, locked


def held_in_another_process(path: Path) -> multiprocessing.Process:
    context = multiprocessing.get_context("spawn")
    reached = context.Event()
    other = context.Process(target=hold, args=(path, reached))
    other.start()
    assert reached.wait(30)
    return other  # type: ignore[return-value]


def hold(path: Path, reached: object) -> None:
    with locked(path):
        reached.set()  # type: ignore[attr-defined]
        time.sleep(60)


def test_a_lock_is_waited_for_once_and_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "new" / "one.lock"
    other = held_in_another_process(path)
    told: list[str] = []

    def waiting() -> None:
        told.append("waiting")
        assert other.pid
        os.kill(other.pid, signal.SIGKILL)

    with locked(path, waiting):
        assert told == ["waiting"]
    other.join()
    with locked(path, waiting):
        assert told == ["waiting"]


@pytest.mark.filterwarnings("ignore:flock not supported")
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP], ids=errno.errorcode.get)
def test_a_disk_without_locks_is_told_and_nothing_stands_in_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Regression: a traceback; or, where filelock makes do, a file that a kill leaves to be waited for."""
    fcntl = pytest.importorskip("fcntl", reason="flock is of POSIX")

    def refused(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refused)
    path = tmp_path / "one.lock"
    for _ in range(2):  # the second finds what the first may have left
        with (
            pytest.raises(LockError, match=r"one\.lock cannot be locked: this disk has no locks"),
            locked(path),
        ):
            pytest.fail("it was held")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="one") as raised, locked(tmp_path / "file" / "one.lock"):
        pytest.fail("it was held")
    assert not isinstance(raised.value, LockError)
