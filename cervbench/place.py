"""Where a run happens: folders, device, threads. Never part of what a run is."""

import os
from dataclasses import dataclass, field
from pathlib import Path


def data_root() -> Path:
    """One folder a dataset; never written to but by `data fetch`."""
    return Path(os.environ.get("CERVBENCH_DATA", "data"))


def cache_root() -> Path:
    """Packs, encoders, checkpoints, downloads, recomputed scores: all of it can be deleted."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cervbench"
    return Path(os.environ.get("CERVBENCH_CACHE", default))


@dataclass(frozen=True)
class Place:
    data_root: Path = field(default_factory=data_root)
    cache: Path = field(default_factory=cache_root)
    out: Path = Path("leaderboards")
    device: str = "auto"
    threads: int | None = None
    """Of the host; None leaves torch's choice. The same number gives the same bits."""
    checkpoint_seconds: float = field(
        default_factory=lambda: float(os.environ.get("CERVBENCH_CHECKPOINT_SECONDS", "30"))
    )
