"""What the tests of the benchmarks share: a place whose pack of synthetic cells is drawn once."""

from pathlib import Path

import pytest

from cervbench.place import Place


@pytest.fixture(scope="session")
def shared_cache_of_small_cells(shared_cache: Path) -> Place:
    return Place(cache=shared_cache, out=shared_cache / "out", device="cpu")
