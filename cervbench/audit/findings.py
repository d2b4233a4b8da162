"""What an audit found, and the settings that it was found with."""

import json
from dataclasses import asdict, dataclass

from cervbench.audit.ladder import COMPONENTS, FOLDS, SEEDS, SHUFFLES, Rung

IMAGE_SIZE = 224
ALIKE = 0.95
"""Pairs whose correlation is at least this are counted."""
LOOKED_AT = 2000
"""How many pairs are looked at, beginning with the closest."""

RANDOM, OWN = "nothing (random images)", "the card's group"


def control_of(together: str) -> str:
    """The name of the rung that has groups of the same sizes and classes, with images dealt at random."""
    return f"control: {together}, images shuffled within class"


CONTROL = control_of(OWN)

SETTINGS = (
    f"ImageNet features of EfficientNet-Lite0 at {IMAGE_SIZE} px, {COMPONENTS} principal components, "
    f"logistic regression (C = 0.1), {FOLDS} folds, {SEEDS} seeds, "
    f"{SHUFFLES} for a control, whose images each of them shuffles anew; nothing was tuned"
)


@dataclass(frozen=True)
class NamedPair:
    one: str
    other: str
    labels: str
    correlation: float


@dataclass(frozen=True)
class Audit:
    variant: str
    images: int
    labelled: int
    classes: dict[str, int]
    """By class, how many groups it is in."""
    group: str
    """What the card keeps together, in words."""
    ladder: list[Rung]
    without_the_cell: list[Rung]
    alike: int
    """How many pairs of different groups, on two sides of a fold, have a correlation of ALIKE or more."""
    pairs: list[NamedPair]
    """The closest pairs."""
    abnormal: float = 0
    """The share of abnormal images; 0 if the card knows no abnormal classes."""

    def rung(self, together: str) -> Rung | None:
        return next((rung for rung in self.ladder if rung.together == together), None)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"
