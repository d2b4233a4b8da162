"""What tests share: real images where they are, and places that leave nothing behind."""

import os
from pathlib import Path

import pytest

from cervbench.place import Place


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real datasets."""
    folder = Path(os.environ.get("CERVBENCH_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "herlev").is_dir():
        pytest.skip(f"needs real images: no folder {folder}/herlev (set CERVBENCH_DATA)")
    return folder


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packs are built once a session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(data_root=tmp_path / "data", cache=tmp_path / "cache", out=tmp_path / "out", device="cpu")
