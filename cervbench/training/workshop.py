"""Where a pretraining and what follows it are made, which decides nothing of what they are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from cervbench.watching import WatchStages, unwatched


@dataclass(frozen=True)
class Workshop:
    """Folder, device and onlooker of one pretraining."""

    folder: Path
    """Of this pretraining alone: checkpoints while it is made, weights when it is done."""
    device: torch.device
    checkpoint_seconds: float = 30.0
    watch: WatchStages = unwatched
    host: Mapping[str, Any] = field(default_factory=dict)
    """What is kept of where the pretext stage was trained: evaluations may happen elsewhere."""
    header: Mapping[str, str] = field(default_factory=dict)
    """Of the file of weights: what is to be known of them by whoever is handed it."""

    @property
    def computed_on(self) -> str:
        """What the bits of a stage depend on, in words."""
        known = {**self.host, **self.host.get("versions", {})}
        deciding = ("device", "instructions", "precision", "threads", "torch")
        return ", ".join(f"{name} {known[name]}" for name in deciding if name in known)
