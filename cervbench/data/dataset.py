"""A dataset ready to be run on: its card, its pack, and its folds."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from cervbench.atomic import write_text
from cervbench.data.cards.card import Card, DataError
from cervbench.data.pack import Pack, prepare
from cervbench.protocol.folds import Manifest, deal, frozen
from cervbench.protocol.protocol import Protocol


@dataclass(frozen=True)
class Dataset:
    card: Card
    pack: Pack
    manifest: Manifest

    @cached_property
    def label_indices(self) -> np.ndarray:
        """Index of each image's class; -1 for an unlabelled image."""
        place = {name: c for c, name in enumerate(self.card.classes)} | {"": -1}
        return np.array([place[label] for label in self.pack.labels])


def open_dataset(
    card: Card,
    data_root: Path,
    cache: Path,
    protocol: Protocol,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Dataset:
    """The pack, built where it is not there yet, with frozen folds or folds by the same rule."""
    pack = prepare(card, data_root, cache, protocol.pack.stored_size, progress)
    if card.manifest:
        manifest = frozen(card.manifest).of(pack.images, pack.labels)
        if manifest.groups != pack.groups:
            wrong = next(i for i, g in enumerate(manifest.groups) if g != pack.groups[i])
            raise DataError(
                f"{card.name}: image {pack.images[wrong]} is of group {pack.groups[wrong]}, "
                f"in the frozen folds of {manifest.groups[wrong]}"
            )
        return Dataset(card, pack, manifest)
    return Dataset(card, pack, _dealt(pack, protocol))


def _dealt(pack: Pack, protocol: Protocol) -> Manifest:
    """Folds by the rule, dealt once a pack and kept beside it."""
    kept = pack.folder / f"folds-v{protocol.version}.csv"
    if kept.exists():
        return Manifest.from_csv(kept.read_text("utf-8"))
    splits = pack.splits if any(pack.splits) else None
    rules = protocol.labels
    manifest = deal(pack.images, pack.labels, pack.groups, protocol.folds, rules.draws, splits)
    write_text(kept, manifest.to_csv())
    return manifest
