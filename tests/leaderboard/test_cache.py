"""What is kept stands for the code that computed it, which may not be what lies on the disk by then."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

import cervbench
from cervbench.leaderboard import build
from cervbench.leaderboard.cache import Cache, key_of
from cervbench.leaderboard.workers import WORTH_WORKERS, Workers
from cervbench.records.record import Record

PACKAGE = Path(cervbench.__file__).parent
CHANGE = "print('# changed', file=open('cervbench/scoring/metrics.py', 'a'))"


def printed(folder: Path, *lines: str) -> str:
    """By a process that imports the package from a folder."""
    command = [sys.executable, "-c", "\n".join(lines)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_code_that_changes_after_it_was_imported_changes_no_key_until_it_is_imported_again(
    tmp_path: Path,
) -> None:
    shutil.copytree(PACKAGE, tmp_path / "cervbench", ignore=shutil.ignore_patterns("__pycache__"))
    imported = "from cervbench.leaderboard import cache"
    key = "print(cache.__file__, cache.key_of('a figure').hex())"
    before = printed(tmp_path, imported, key)
    assert before.startswith(str(tmp_path))
    meanwhile = printed(tmp_path, imported, CHANGE, key)
    afterwards = printed(tmp_path, imported, key)
    assert before == meanwhile != afterwards


def test_all_that_computes_what_is_kept_is_imported_with_the_cache() -> None:
    loaded = printed(PACKAGE.parent, "import sys, cervbench.leaderboard.cache; print(*sys.modules)").split()
    rooms = ("scoring", "records", "leaderboard")
    modules = [path for room in rooms for path in PACKAGE.glob(f"{room}/*.py")]
    names = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in modules}
    assert {name.removesuffix(".__init__") for name in names} <= set(loaded)


def test_processes_whose_code_is_another_compute_nothing(
    out: Path, write: Callable[..., list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("simclr", ratios=(100,))
    monkeypatch.setattr("cervbench.leaderboard.workers.WORTH_WORKERS", 1)
    monkeypatch.setattr("cervbench.leaderboard.workers.DEFINITIONS", b"of the code before")
    with pytest.raises(BrokenProcessPool):
        build(out, workers=2)


def test_a_damaged_cache_is_of_no_use_once_and_then_begun_anew(tmp_path: Path) -> None:
    """Regression: every later process found it damaged too, and computed everything again."""
    key = key_of("a figure")
    with Cache(tmp_path) as cache:
        cache.keep({key: {"figure": 1}})
    file = tmp_path / "leaderboard.sqlite"
    for damaged in (b"no database at all", file.read_bytes()[:4096] + b"\xff" * 4096):
        file.write_bytes(damaged)
        with Cache(tmp_path) as cache:
            assert cache.known([key]) == {}
        with Cache(tmp_path) as cache:
            cache.keep({key: {"figure": 2}})
        with Cache(tmp_path) as cache:
            assert cache.known([key]) == {key: {"figure": 2}}


def test_who_may_write_to_the_cache_is_up_to_the_umask(tmp_path: Path) -> None:
    """Regression: SQLite let its owner alone, and a colleague's builds went without."""
    before = os.umask(0o002)
    try:
        with Cache(tmp_path) as cache:
            cache.keep({key_of("a figure"): 1})
    finally:
        os.umask(before)
    assert (tmp_path / "leaderboard.sqlite").stat().st_mode & 0o777 == 0o664


def test_without_means_for_several_processes_one_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a container without /dev/shm, where no semaphore can be made."""

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("cervbench.leaderboard.workers.ProcessPoolExecutor", refused)
    with Workers(4) as workers:
        assert list(workers.map(lambda one: 2 * one, [1, 2], WORTH_WORKERS)) == [2, 4]
