"""Holds the images at hand against the folds that their card ships; runs and `data check` ask the same."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from cervbench.data.cards.card import Card
from cervbench.protocol.dealing import require_dealable
from cervbench.protocol.folds import OFFICIAL, FoldError, Manifest

_PART = {number: part for part, number in OFFICIAL.items()}


@dataclass(frozen=True)
class Disagreement:
    """What an image is to its card, and is not in the frozen folds."""

    kind: Literal["unknown", "class", "folds"]
    row: int
    told: str


@dataclass(frozen=True)
class Listed:
    """The images at hand, as their card lists them: a row of each column is an image."""

    ids: Sequence[str]
    labels: Sequence[str]
    """Empty for an unlabelled image."""
    groups: Sequence[str]
    splits: Sequence[str | None]

    def disagreements(self, card: Card, whole: Manifest) -> Iterator[Disagreement]:
        row_of = {image: row for row, image in enumerate(whole.images)}
        split = any(self.splits)
        for row, image in enumerate(self.ids):
            if (place := row_of.get(image)) is None:
                yield Disagreement("unknown", row, "is not in the frozen folds")
                continue
            label = card.merges.get(whole.labels[place], whole.labels[place])
            if label != self.labels[row]:
                yield Disagreement(
                    "class",
                    row,
                    f"has {_class(self.labels[row])} here, and {_class(label)} in the frozen folds"
                    + ("" if label in ("", *card.classes) else ", which its card does not know"),
                )
            if whole.groups[place] != self.groups[row]:
                told = f"is of group {self.groups[row]}, in the frozen folds of {whole.groups[place]}"
                yield Disagreement("folds", row, told)
            part = _PART[int(whole.bins[place])] if whole.official else "one of five folds"
            if split and part != self.splits[row]:
                told = f"has the split {self.splits[row]}, and the frozen folds say {part}"
                yield Disagreement("folds", row, told)

    def divided(self, card: Card, whole: Manifest) -> Manifest:
        """The frozen folds of these images; FoldError if they disagree, or if too few images are left."""
        manifest = whole.subset(self.ids, self.labels)
        for wrong in self.disagreements(card, whole):
            raise FoldError(
                f"image {self.ids[wrong.row]} {wrong.told}; `cervbench data check {card.name}` names every "
                "such image. Correct the files, or the card and its `manifest`"
            )
        parts = [_PART[number] for number in manifest.bins.tolist()] if manifest.official else None
        require_dealable(self.ids, self.labels, self.groups, parts)
        return manifest


def _class(label: str) -> str:
    return f"the class {label!r}" if label else "no label"
