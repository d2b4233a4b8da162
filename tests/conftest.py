"""What tests share: places that leave nothing behind, and synthetic cells that are drawn once."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cervbench.place import Place


@pytest.fixture(scope="session")
def cache_with_cells(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Makes a folder a cache that has the synthetic cells, which one process of a session draws for all."""
    base = tmp_path_factory.getbasetemp()
    drawn = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "synthetic"
    drawn.mkdir(exist_ok=True)

    def made(folder: Path) -> Path:
        (folder / "packs").mkdir(parents=True)
        (folder / "packs" / "synthetic").symlink_to(drawn)
        return folder

    return made


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory, cache_with_cells: Callable[[Path], Path]) -> Path:
    """Packs are built once a session."""
    return cache_with_cells(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def place(tmp_path: Path, cache_with_cells: Callable[[Path], Path]) -> Place:
    cache = cache_with_cells(tmp_path / "cache")
    return Place(data_root=tmp_path / "data", cache=cache, out=tmp_path / "out", device="cpu")
