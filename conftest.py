"""What all tests share: the packages of this repository and no others, and real data where it is."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PACKAGES = sorted(path.parent.name for path in HERE.glob("plugins/*/pyproject.toml"))

os.environ["CERVBENCH_PLUGINS"] = ",".join(PACKAGES)
DATA = Path(os.environ.setdefault("CERVBENCH_DATA", str(HERE.parent / "shared" / "data")))


@pytest.fixture(scope="session", autouse=True)
def nothing_is_flushed() -> Iterator[None]:
    """Thousands of flushes a session are minutes of waiting, and no power fails in a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        patch.setattr(os, "sync", lambda: None, raising=False)
        yield


@pytest.fixture(scope="session")
def real() -> Callable[[str], Path]:
    """The folder of a real dataset, by its name; what needs one that is not here is skipped."""

    def folder(name: str) -> Path:
        if not (DATA / name).is_dir():
            pytest.skip(f"needs real data: no folder {DATA / name} (set CERVBENCH_DATA)")
        return DATA / name

    return folder
