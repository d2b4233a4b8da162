"""Checkpoints: each is a folder that is renamed into place when it is whole, so a kill always leaves one."""

import io
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cervbench.atomic import discard, naming, whole_folder
from cervbench.sealed import is_whole, seal
from cervbench.training.weight_file import (
    HOST,
    fitting,
    header_of,
    load_weights,
    save_weights,
    warn_of_other_code,
)


@dataclass
class State:
    """How far a stage has come, apart from its weights, with what its optimiser remembers."""

    optimizer: torch.optim.Optimizer
    step: int = 0
    """How many steps are done."""
    seconds: float = 0.0
    """How long it was trained, earlier sittings included."""
    logged: dict[str, float] = field(default_factory=dict)
    """The last value of everything that was logged, earlier sittings included."""


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one stage of a run, of which only the latest is kept."""

    folder: Path
    header: Mapping[str, str] = field(default_factory=dict)
    """The header that the files of weights get."""

    def save(self, stage: nn.Module, state: State) -> None:
        content = io.BytesIO()  # if torch wrote to the disk itself, it would not tell that the disk is full
        kept = {"optimizer": state.optimizer.state_dict(), "seconds": state.seconds, "logged": state.logged}
        torch.save(kept, content)
        older = list(self.folder.iterdir()) if self.folder.exists() else []
        checkpoint = self.folder / f"step-{state.step:09d}"
        with naming(checkpoint), whole_folder(checkpoint) as beside:
            save_weights(stage, beside / "weights.safetensors", self.header)
            (beside / "optimizer.pt").write_bytes(content.getbuffer())
            for path in list(beside.iterdir()):
                seal(path)
        for path in older:
            shutil.rmtree(path, ignore_errors=True)

    def resume(self, stage: nn.Module, state: State) -> None:
        """Put the stage and its state where the latest checkpoint left them, if there is a whole one."""
        found = sorted(self.folder.glob("step-*"))
        if not found:
            return
        weights, beside = found[-1] / "weights.safetensors", found[-1] / "optimizer.pt"
        kept = _read(beside)
        if kept is None or not is_whole(weights):
            logging.getLogger("cervbench").warning(
                "%s is missing or damaged: the checkpoint is discarded, its stage begins anew",
                beside if kept is None else weights,
            )
            self.clear()
            return
        warn_of_other_code(weights, self.header)
        self._warn_of_another_host(weights)
        load_weights(stage, weights)
        with fitting(beside, stage):
            state.optimizer.load_state_dict(kept["optimizer"])
        state.step = int(found[-1].name.removeprefix("step-"))
        state.seconds, state.logged = float(kept["seconds"]), dict(kept["logged"])

    def _warn_of_another_host(self, weights: Path) -> None:
        """Elsewhere the stage ends with other bits, and its record will only name the host where it ends."""
        begun, here = header_of(weights).get(HOST), self.header.get(HOST)
        if begun and here and begun != here:
            logging.getLogger("cervbench").warning(
                "%s is of %s, and its stage goes on with %s: it ends with other bits than on either alone, "
                "and its record names the latter. Delete the folder to begin anew",
                weights.parent,
                begun,
                here,
            )

    def clear(self) -> None:
        discard(self.folder)


def _read(path: Path) -> dict[str, Any] | None:
    """What `save` put beside the weights; None if the file is anything else. Code in it is never run."""
    if not is_whole(path):
        return None
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except OSError:
        raise
    except Exception:  # torch raises errors of many kinds for bytes that it did not write
        return None
    return state if isinstance(state, dict) and {"optimizer", "seconds", "logged"} <= state.keys() else None
