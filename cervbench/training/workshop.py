"""Where a pretraining and what follows it are made, which decides nothing of what they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cervbench.training.checkpoint import Checkpoints
from cervbench.training.loop import Sitting
from cervbench.training.weight_file import HOST
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

    def sitting(
        self, stage: str, record: str = "", look: Callable[[], Mapping[str, float]] = dict
    ) -> Sitting:
        """How a stage is trained here; that of a record has its checkpoints in a folder of that record."""
        checkpoints = Checkpoints(
            self.folder / record / stage, {**self.header, HOST: self._decides_the_bits()}
        )
        return Sitting(checkpoints, self.checkpoint_seconds, partial(self.watch, stage), look)

    def _decides_the_bits(self) -> str:
        """What of this host the bits of a stage depend on, in words."""
        known = {**self.host, **self.host.get("versions", {})}
        deciding = ("device", "instructions", "precision", "threads", "torch")
        return ", ".join(f"{name} {known[name]}" for name in deciding if name in known)
