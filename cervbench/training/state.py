"""The state of a stage apart from its weights, so that it can be stopped and resumed at any step."""

from dataclasses import dataclass, field

import torch


@dataclass
class State:
    """How far a stage has come, with what its optimiser remembers."""

    optimizer: torch.optim.Optimizer
    step: int = 0
    """How many steps are done."""
    seconds: float = 0.0
    """How long it was trained, earlier sittings included."""
    logged: dict[str, float] = field(default_factory=dict)
    """The last value of everything that was logged, earlier sittings included."""
