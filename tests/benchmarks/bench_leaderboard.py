"""Pages of the committed records, with what was computed before and without."""

import shutil
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from cervbench.leaderboard import build

COMMITTED = Path(__file__).parents[2] / "leaderboards"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CERVBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def bench_pages_when_figures_are_cached(benchmark: BenchmarkFixture, tmp_path: Path, cache: Path) -> None:
    build(COMMITTED, tmp_path / "pages")
    assert cache.exists()
    benchmark.pedantic(lambda: build(COMMITTED, tmp_path / "pages"), rounds=3)


def bench_pages_when_nothing_is_cached(benchmark: BenchmarkFixture, tmp_path: Path, cache: Path) -> None:
    def forget() -> None:
        shutil.rmtree(cache, ignore_errors=True)

    benchmark.pedantic(lambda: build(COMMITTED, tmp_path / "pages"), setup=forget, rounds=3)
