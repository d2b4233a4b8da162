"""Checkpoints: a folder a step, renamed into place whole, so that any kill leaves one to resume."""

import hashlib
import io
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import nn

from cervbench.atomic import naming, whole_folder, write_text
from cervbench.plugin.problems import ContractError

HEADER = "cervbench"
"""The one entry of a file's own header: safetensors writes several in an order of chance."""
CODE = "code"
"""In ours: a hash of the sources that made the weights."""
HOST = "host"
"""And of a checkpoint: what the bits of a stage depend on, in words."""


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one stage of one run; only the latest is kept."""

    folder: Path
    header: Mapping[str, str] = field(default_factory=dict)
    """Of the files of weights."""

    def save(
        self,
        step: int,
        stage: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        seconds: float,
        logged: Mapping[str, float],
    ) -> None:
        state = io.BytesIO()  # torch, writing to the disk itself, would not say that it is full
        kept = {"optimizer": optimizer.state_dict(), "seconds": seconds, "logged": dict(logged)}
        torch.save(kept, state)
        older = list(self.folder.iterdir()) if self.folder.exists() else []
        checkpoint = self.folder / f"step-{step:09d}"
        with naming(checkpoint), whole_folder(checkpoint) as beside:
            save_weights(stage, beside / "weights.safetensors", self.header)
            (beside / "optimizer.pt").write_bytes(state.getbuffer())
            for path in list(beside.iterdir()):
                with path.open("rb") as written:
                    os.fsync(written.fileno())
                seal(path)
        for path in older:
            shutil.rmtree(path, ignore_errors=True)

    def resume(
        self, stage: nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[int, float, dict[str, float]]:
        """Load the latest checkpoint, if there is a whole one: its step, seconds, and what was logged."""
        found = sorted(self.folder.glob("step-*"))
        if not found:
            return 0, 0.0, {}
        weights, optimizer_state = found[-1] / "weights.safetensors", found[-1] / "optimizer.pt"
        if damaged := [path for path in (weights, optimizer_state) if not is_whole(path)]:
            logging.getLogger("cervbench").warning(
                "%s is missing or damaged: the checkpoint is discarded, its stage begins anew", damaged[0]
            )
            self.clear()
            return 0, 0.0, {}
        warn_of_other_code(weights, self.header)
        self._warn_of_another_host(weights)
        load_weights(stage, weights)
        state = torch.load(optimizer_state, weights_only=True, map_location="cpu")
        optimizer.load_state_dict(state["optimizer"])
        step = int(found[-1].name.removeprefix("step-"))
        return step, float(state["seconds"]), dict(state.get("logged", {}))

    def _warn_of_another_host(self, weights: Path) -> None:
        """A stage ends with the same bits where it was begun, and is recorded as of where it ends."""
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
        """Out of sight in one step first: a kill in between leaves no half a checkpoint to resume from."""
        for left in self.folder.parent.glob(".done-*"):  # by such a kill
            shutil.rmtree(left, ignore_errors=True)
        if self.folder.exists():
            beside = Path(tempfile.mkdtemp(dir=self.folder.parent, prefix=".done-"))
            self.folder.rename(beside / self.folder.name)
            shutil.rmtree(beside, ignore_errors=True)


def save_weights(module: nn.Module, path: Path, header: Mapping[str, str] | None = None) -> None:
    """Parameters and buffers; what two names share is stored once. The header goes wherever the file goes."""
    for buffer in module.buffers():
        if buffer.untyped_storage().nbytes() > buffer.nbytes:  # a slice of a larger one, as queues make them
            buffer.data = buffer.clone()
    try:
        save_model(module, str(path), {HEADER: json.dumps(header, sort_keys=True)} if header else {})
    except SafetensorError as error:  # it has the system's error in words alone
        number = re.search(r"(?:os error |code: )(\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), str(error)) from error


def header_of(path: Path) -> dict[str, str]:
    """Of a file of weights; empty where it has none, or is none."""
    try:
        with safe_open(path, framework="numpy") as file:
            return dict(json.loads((file.metadata() or {}).get(HEADER, "{}")))
    except (OSError, SafetensorError, ValueError, TypeError):
        return {}


def warn_of_other_code(weights: Path, header: Mapping[str, str]) -> None:
    """Weights are found by what they were asked for, and an author who edits a method asks for the same."""
    made_by = header_of(weights).get(CODE)
    if made_by and header.get(CODE) and made_by != header[CODE]:
        logging.getLogger("cervbench").warning(
            "the code of this method has changed since %s was made, which is used all the same: raise "
            "`revision` in its Offer where the change is one of results, or delete %s to have it made anew",
            weights,
            weights.parent,
        )


def load_weights(module: nn.Module, path: Path) -> None:
    try:
        load_model(module, path, strict=True)
    except RuntimeError as error:
        told = str(error).strip().split("\n")[-1].strip()
        raise ContractError(
            f"{path} does not fit {type(module).__name__} as its code is now: {told}. Raise `revision` in "
            f"its Offer, or delete {path.parent} to have it made anew"
        ) from None


def seal(path: Path) -> None:
    """Keep the hash of a file beside it, as `sha256sum` writes it."""
    write_text(_seal_of(path), f"{_sha256(path)}  {path.name}\n")


def is_whole(path: Path) -> bool:
    """Whether a file is there, and is what was sealed."""
    try:
        return _seal_of(path).read_text("utf-8").split()[:1] == [_sha256(path)]
    except (FileNotFoundError, UnicodeDecodeError):
        return False


def _seal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
