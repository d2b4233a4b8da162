"""What a stage has beside its weights, which makes resuming, rounds and ranks one thing."""

from dataclasses import dataclass, field

import torch


@dataclass
class State:
    """Rounds and ranks pass weights; this stays at home."""

    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    """Spent in training, earlier sittings included."""
    logged: dict[str, float] = field(default_factory=dict)
    """The last value of everything that was logged, earlier sittings included."""
