"""Files of weights, with a header inside that stays with every copy."""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import nn

from cervbench.data.views import Normalise
from cervbench.error import CervbenchError
from cervbench.plugin.problems import ContractError

HEADER = "cervbench"
"""The only entry of a file's header, because safetensors writes several in random order. Its keys:"""
RUN = "run"
"""The run that left the weights, as JSON."""
SEEN = "seen"
"""Which images it was trained on, through all runs behind it; without it nobody knows."""
CODE = "code"
"""A hash of the sources that made the weights."""
INPUT = "input"
"""The mean and the standard deviation by which the encoder's input was normalised, as JSON."""
HOST = "host"
"""In a checkpoint, a description of what the bits of its stage depend on."""


class WeightsError(CervbenchError, ValueError):
    """Weights are missing or do not fit; the message says which, and what to do."""


def save_weights(module: nn.Module, path: Path, header: Mapping[str, str] | None = None) -> None:
    """Store parameters and buffers under a header; a tensor with two names is stored once."""
    for buffer in module.buffers():
        if buffer.untyped_storage().nbytes() > buffer.nbytes:  # it is a slice, such as queues leave behind
            buffer.data = buffer.clone()
    try:
        save_model(module, str(path), {HEADER: json.dumps(header, sort_keys=True)} if header else {})
    except SafetensorError as error:  # has the number of the system's error only in its text
        number = re.search(r"(?:os error |code: )(\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), str(error)) from error


def header_of(path: Path) -> dict[str, str]:
    """The header of a file of weights; empty if it has none, or is no such file."""
    try:
        with safe_open(path, framework="numpy") as file:
            return dict(json.loads((file.metadata() or {}).get(HEADER, "{}")))
    except (OSError, SafetensorError, ValueError, TypeError, RecursionError):
        return {}


def told_of_input(normalise: Normalise) -> dict[str, str]:
    """The entry of a header that says how the encoder's input was normalised."""
    return {INPUT: json.dumps([normalise.mean, normalise.std])}


def input_of(path: Path) -> Normalise | None:
    """How the input of the encoder in a file was normalised; None if its header does not say it."""
    told = header_of(path).get(INPUT)
    if told is None:
        return None
    try:
        values = np.array(json.loads(told), dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RecursionError):
        values = np.empty(0)
    if values.shape != (2, 3) or not np.isfinite(values).all() or (values[1] <= 0).any():
        raise WeightsError(
            f"the header of {path} gives {told!r:.60} as the mean and deviation of its input, which are two "
            "lists of three numbers; get the file again"
        )
    mean, std = (tuple(row) for row in values.tolist())
    return Normalise(mean, std)


def warn_of_other_code(weights: Path, header: Mapping[str, str]) -> None:
    """Kept weights are found by what was asked for, which is the same after an edit of method or backbone."""
    made_by = header_of(weights).get(CODE)
    if made_by and header.get(CODE) and made_by != header[CODE]:
        logging.getLogger("cervbench").warning(
            "the code of this method, or of its backbone, has changed since %s was made, which is used all "
            "the same: raise `revision` where the change is one of results, or delete %s to make it anew",
            weights,
            weights.parent,
        )


def load_weights(module: nn.Module, path: Path) -> None:
    with fitting(path, module):
        load_model(module, path, strict=True)


@contextmanager
def fitting(path: Path, module: nn.Module) -> Iterator[None]:
    """Around loading a file into a module: explains that it no longer fits if the code has changed since."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        told = str(error).strip().split("\n")[-1].strip()
        raise ContractError(
            f"{path} does not fit {type(module).__name__} as its code is now: {told}. Raise `revision` in "
            f"its Offer, or delete {path.parent} to have it made anew"
        ) from None
