"""Checkpoints: a folder a step, renamed into place whole, so that any kill leaves one to resume."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_model, save_model
from torch import nn


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one stage of one run; only the latest is kept."""

    folder: Path

    def save(self, step: int, stage: nn.Module, optimizer: torch.optim.Optimizer, seconds: float) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=self.folder, prefix=".writing-"))
        save_weights(stage, beside / "weights.safetensors")
        torch.save({"optimizer": optimizer.state_dict(), "seconds": seconds}, beside / "optimizer.pt")
        for path in beside.iterdir():
            with path.open("rb") as written:
                os.fsync(written.fileno())
        older = list(self.folder.iterdir())
        beside.rename(self.folder / f"step-{step:09d}")
        for path in older:
            if path != beside:
                shutil.rmtree(path, ignore_errors=True)

    def resume(self, stage: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
        """Load the latest checkpoint, if there is one: its step, and the seconds spent until it."""
        found = sorted(self.folder.glob("step-*"))
        if not found:
            return 0, 0.0
        load_weights(stage, found[-1] / "weights.safetensors")
        state = torch.load(found[-1] / "optimizer.pt", weights_only=True)
        optimizer.load_state_dict(state["optimizer"])
        return int(found[-1].name.removeprefix("step-")), float(state["seconds"])

    def clear(self) -> None:
        """Out of sight in one step first: a kill in between leaves no half a checkpoint to resume from."""
        if self.folder.exists():
            beside = Path(tempfile.mkdtemp(dir=self.folder.parent, prefix=".done-"))
            self.folder.rename(beside / self.folder.name)
            shutil.rmtree(beside, ignore_errors=True)


def save_weights(module: nn.Module, path: Path) -> None:
    """Parameters and buffers; what two names share is stored once."""
    save_model(module, str(path))


def load_weights(module: nn.Module, path: Path) -> None:
    load_model(module, path, strict=True)
