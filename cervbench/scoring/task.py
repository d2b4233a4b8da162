"""What a score has to know besides the predictions."""

from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import model_validator

from cervbench.plugin.settings import Closed

if TYPE_CHECKING:
    from cervbench.data.cards.card import Card


class Task(Closed):
    """What is predicted: the classes, which are abnormal, how they rank.

    It stands in every record, so that scores need nothing but the record and its table.
    """

    classes: tuple[str, ...]
    abnormal: tuple[str, ...] = ()
    severity: dict[str, int] | None = None
    groups_known: bool = True

    @classmethod
    def of(cls, card: "Card") -> Self:
        """What its card says of a dataset."""
        return cls(
            classes=card.classes,
            abnormal=tuple(name for name in card.classes if name in card.abnormal),
            severity=None if card.severity is None else dict(card.severity),
            groups_known=card.groups_known,
        )

    @model_validator(mode="after")
    def _require_known_classes(self) -> Self:
        """A record may come from anywhere, and be sealed again by anyone."""
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise ValueError("classes are missing, or named twice")
        if strange := set(self.abnormal) - set(self.classes):
            raise ValueError(f"{min(strange)!r} is abnormal and no class")
        if self.severity is not None and set(self.severity) != set(self.classes):
            raise ValueError("severity is that of other classes")
        return self

    @property
    def is_abnormal(self) -> np.ndarray:
        return np.array([name in self.abnormal for name in self.classes])

    @property
    def ranks(self) -> np.ndarray | None:
        """Severity of each class as 0, 1, 2, …; classes of equal severity share a rank."""
        if self.severity is None:
            return None
        order = sorted(set(self.severity.values()))
        return np.array([order.index(self.severity[name]) for name in self.classes])

    @property
    def probability_columns(self) -> list[str]:
        return [f"p_{name}" for name in self.classes]
