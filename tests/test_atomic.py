"""What is written is on the disk before it is in its place, and what is removed goes in one step."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cervbench import atomic
from cervbench.atomic import discard, whole_folder, write_atomically

FSYNC, SYNC = os.fsync, getattr(os, "sync", None)
"""The real ones: while tests run, nothing else is flushed."""


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is flushed and moved, in its order."""
    log: list[str] = []

    def named(handle: int) -> str:
        return Path(f"/proc/self/fd/{handle}").readlink().name

    def logged(what: str, call: Callable[..., object], name: Callable[..., str]) -> Callable[..., object]:
        def instead(*arguments: object) -> object:
            log.append(f"{what} {name(*arguments)}")
            return call(*arguments)

        return instead

    if not Path("/proc/self/fd").exists():
        pytest.skip("the system does not tell which file a handle is of")
    monkeypatch.setattr(os, "fsync", logged("flush", FSYNC, named))
    monkeypatch.setattr(os, "sync", logged("flush", SYNC, lambda: "all"))
    for move in ("rename", "replace"):
        monkeypatch.setattr(Path, move, logged("move to", getattr(Path, move), lambda _, to: Path(to).name))
    return log


def test_a_file_is_on_the_disk_before_it_takes_its_place(tmp_path: Path, done: list[str]) -> None:
    write_atomically(tmp_path / "scores", lambda beside: beside.write_text("1"))
    flushed, moved, folder = done
    assert flushed.startswith("flush .scores.")
    assert [moved, folder] == ["move to scores", f"flush {tmp_path.name}"]


def test_all_of_a_folder_is_on_the_disk_before_it_takes_its_place(tmp_path: Path, done: list[str]) -> None:
    """Regression: its files could be empty behind a power failure, although the folder was there."""
    with whole_folder(tmp_path / "pack") as beside:
        (beside / "below").mkdir()
        for name in ("pixels", "below/index"):
            (beside / name).write_text("1")
    *flushed, moved, folder = done
    assert sorted(flushed) == ["flush below", "flush index", "flush pixels"]
    assert [moved, folder] == ["move to pack", f"flush {tmp_path.name}"]


def test_many_files_are_flushed_together(tmp_path: Path, done: list[str]) -> None:
    with whole_folder(tmp_path / "archive") as beside:
        for number in range(atomic.MANY + 1):
            (beside / str(number)).touch()
    assert done[:2] == ["flush all", "move to archive"]


def test_a_disk_found_full_at_the_flush_of_a_folder_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: "No space left on device", and no word of where."""

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as refused, whole_folder(tmp_path / "pack") as beside:
        (beside / "pixels").write_text("1")
    assert refused.value.filename == str(tmp_path / "pack")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_half_filled_is_never_in_its_place(tmp_path: Path) -> None:
    def fill() -> None:
        with whole_folder(tmp_path / "pack") as beside:
            (beside / "pixels").write_text("1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_out_of_its_place_before_anything_in_it_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what a kill left then is removed when a folder of that name is, and not before.

    Regression: what another process was just removing under a lock of its own was removed from below it.
    """
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").touch()

    def kill(*arguments: object, **keywords: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", kill)
        with pytest.raises(KeyboardInterrupt):
            discard(tmp_path / "one")
    assert not (tmp_path / "one").exists()
    assert len(list(tmp_path.iterdir())) == 2
    discard(tmp_path / "other")
    assert len(list(tmp_path.iterdir())) == 1
    discard(tmp_path / "one")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("umask", "file", "folder"), [(0o002, 0o664, 0o775), (0o077, 0o600, 0o700)])
def test_who_may_read_and_write_is_up_to_the_umask(
    tmp_path: Path, umask: int, file: int, folder: int
) -> None:
    """Regression: 644 and 755 whatever it was, so a group could not share a cache, nor one be private."""
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "scores", lambda beside: beside.write_text("1"))
        with whole_folder(tmp_path / "pack"):
            pass
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("scores", "pack")] == [file, folder]


def test_a_file_that_a_scanner_holds_for_a_moment_is_renamed_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Windows does it: what another process has open is not renamed."""
    held, replace = [True, True], Path.replace

    def held_at_first(source: Path, target: Path) -> Path:
        if held and held.pop():
            raise PermissionError(errno.EACCES, "Permission denied")
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", held_at_first)
    monkeypatch.setattr(atomic, "WAITS", (0, 0, 0))
    path = tmp_path / "scores"
    with pytest.raises(PermissionError):  # elsewhere that means what it says
        write_atomically(path, lambda beside: beside.write_text("1"))
    monkeypatch.setattr(atomic, "ON_WINDOWS", True)
    held.append(True)
    write_atomically(path, lambda beside: beside.write_text("1"))
    assert path.read_text() == "1"
    held[:] = [True] * 4
    with pytest.raises(PermissionError):
        write_atomically(path, lambda beside: beside.write_text("2"))
    assert [path.name for path in tmp_path.iterdir()] == ["scores"]
