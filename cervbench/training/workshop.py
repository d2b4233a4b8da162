"""Where a pretraining and all that follows it are made; nothing here decides what comes out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cervbench.atomic import discard
from cervbench.training.checkpoint import Checkpoints
from cervbench.training.loop import Sitting
from cervbench.training.weight_file import HOST
from cervbench.watching import WatchStages, unwatched


@dataclass(frozen=True)
class Workshop:
    """The folder, device and watcher of one pretraining."""

    folder: Path
    """For this pretraining alone: it holds checkpoints at first, and weights when it is done."""
    device: torch.device
    checkpoint_seconds: float = 30.0
    watch: WatchStages = unwatched
    host: Mapping[str, Any] = field(default_factory=dict)
    """A description of this host, kept with the pretraining because evaluations may happen elsewhere."""
    header: Mapping[str, str] = field(default_factory=dict)
    """What the file of weights tells whoever is handed a copy of it."""

    def sitting(
        self, stage: str, record: str = "", measure: Callable[[], Mapping[str, float]] = dict
    ) -> Sitting:
        """What happens here beside the training of a stage; for a `record` it has checkpoints of its own."""
        checkpoints = Checkpoints(
            self.folder / record / stage, {**self.header, HOST: self._decides_the_bits()}
        )
        return Sitting(checkpoints, self.checkpoint_seconds, partial(self.watch, stage), measure)

    def clear(self, record: str) -> None:
        """Delete the checkpoints of a record, once it is written."""
        assert record  # without one, this would be the folder of the whole pretraining
        discard(self.folder / record)

    def _decides_the_bits(self) -> str:
        """What the bits of a stage depend on in this host, in words."""
        known = {**self.host, **self.host.get("versions", {})}
        deciding = ("device", "instructions", "precision", "threads", "torch")
        return ", ".join(f"{name} {known[name]}" for name in deciding if name in known)
