"""What is kept of a finished pretraining: the method's weights, and what was observed on the way."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from cervbench.atomic import write_atomically, write_text
from cervbench.sealed import is_whole, seal
from cervbench.training.weight_file import load_weights, save_weights, told_of_input, warn_of_other_code


@dataclass(frozen=True)
class Kept:
    folder: Path
    """The folder of this pretraining."""
    header: Mapping[str, str] = field(default_factory=dict)
    """The header that the file of weights gets, which says besides how the encoder's input is normalised."""

    @property
    def weights(self) -> Path:
        return self.folder / "method.safetensors"

    @property
    def observed(self) -> Path:
        """Written last, apart from its seal, so the pretraining is done if it exists."""
        return self.folder / "observed.json"

    @property
    def done(self) -> bool:
        return self.observed.exists()

    def load(self, method: nn.Module) -> dict[str, Any] | None:
        """Load the weights into the method, and return what was observed; None if nothing whole is kept."""
        if not self.done:
            return None
        if damaged := [path for path in (self.weights, self.observed) if not is_whole(path)]:
            what = "was not written to its end, or is damaged" if damaged[0].exists() else "is missing"
            logging.getLogger("cervbench").warning("%s %s: it is made anew", damaged[0], what)
            self.observed.unlink()
            return None
        warn_of_other_code(self.weights, self.header)
        load_weights(method, self.weights)
        observed: dict[str, Any] = json.loads(self.observed.read_text("utf-8"))
        return observed

    def keep(self, method: nn.Module, observed: Mapping[str, Any]) -> None:
        encoder = getattr(method, "encoder", None)
        header = {**self.header, **(told_of_input(encoder.normalise) if encoder is not None else {})}
        write_atomically(self.weights, lambda beside: save_weights(method, beside, header))
        seal(self.weights)
        write_text(self.observed, json.dumps(observed))
        seal(self.observed)

    def clear_leftovers(self) -> None:
        """Delete files that a kill left half written."""
        for left in self.folder.glob(".*.safetensors.*"):
            left.unlink(missing_ok=True)
