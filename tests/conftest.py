"""What tests share: places that leave nothing behind."""

from pathlib import Path

import pytest

from cervbench.place import Place


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packs are built once a session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(data_root=tmp_path / "data", cache=tmp_path / "cache", out=tmp_path / "out", device="cpu")
