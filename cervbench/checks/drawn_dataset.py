"""The dataset that checks train on: a few drawn cells, in one official fold.

As in every run, they go from a card to a pack, its fold and its parts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from cervbench.data.cards import synthetic
from cervbench.data.cards.item import Item
from cervbench.data.dataset import Dataset, open_dataset
from cervbench.protocol.protocol import Protocol, load

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGES_PER_CLASS: Mapping[str, int] = {"train": 10, "val": 2, "test": 2}
"""How many images of each class a part of the fold has. Each class is one group there."""
BATCH = 8


def protocol(size: int = 32, batch: int = BATCH, epochs: int = 1) -> Protocol:
    """The smoke tier, with batches so small that the few images fill several of them."""
    pretext = {"pretext.batch_size": batch, "pretext.epochs": epochs}
    return load("smoke", {"image_size": size, **pretext})


@cache
def dataset(permuted: bool = False) -> Dataset:
    """The drawn cells. If `permuted`, each has another label, and those of one class have different ones."""
    card = replace(_CARD, items=lambda folder: _items(permuted))
    return open_dataset(card, folder(), folder() / ("permuted" if permuted else "true"), protocol())


def folder() -> Path:
    """A folder for everything that checks write, which is removed when the process ends."""
    return Path(_temporary().name)


@cache
def _temporary() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="cervbench-checks-")


def _items(permuted: bool) -> Sequence[Item]:
    classes = len(synthetic.CLASSES)
    return [
        Item(
            f"{group:02d}-{number:02d}",
            synthetic.CLASSES[(group + permuted * (number % 6 + 1)) % classes],
            f"{group:02d}",
            Path(),
            split=split,
        )
        for place, (split, images) in enumerate(IMAGES_PER_CLASS.items())
        for group in range(place * classes, (place + 1) * classes)
        for number in range(images)
    ]


@cache
def _drawn(id: str) -> "Image":
    return synthetic.read(Item(id, None, "", Path()))


_CARD = replace(synthetic.CARD, name="drawn-cells", read=lambda item: _drawn(item.id))
