"""The ground on which packages are checked: a few drawn cells in one official fold, and small backbones.

They come the way of every run: from a card to a pack, its fold, its parts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from cervbench.data.cards import synthetic
from cervbench.data.cards.card import Item
from cervbench.data.dataset import Dataset, open_dataset
from cervbench.plugin import BackboneOffer
from cervbench.protocol.protocol import Protocol, load

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGES_A_GROUP: Mapping[str, int] = {"train": 10, "val": 2, "test": 2}
"""By the part of the fold: so many images of each class, whose seven groups a part has."""
BATCH = 8


def protocol(size: int = 32, batch: int = BATCH, epochs: int = 1) -> Protocol:
    """Smoke, with batches that a few images fill more than once."""
    pretext = {"pretext.batch_size": batch, "pretext.epochs": epochs}
    return load("smoke", {"image_size": size, **pretext})


@cache
def dataset(permuted: bool = False) -> Dataset:
    """The drawn cells; `permuted` gives each image another label, and those of one class different ones."""
    card = replace(_CARD, items=lambda folder: _items(permuted))
    return open_dataset(card, folder(), folder() / ("permuted" if permuted else "true"), protocol())


def folder() -> Path:
    """A place for what is made meanwhile; gone when the process ends."""
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
        for place, (split, images) in enumerate(IMAGES_A_GROUP.items())
        for group in range(place * classes, (place + 1) * classes)
        for number in range(images)
    ]


@cache
def _drawn(id: str) -> "Image":
    return synthetic.read(Item(id, None, "", Path()))


_CARD = replace(synthetic.CARD, name="drawn-cells", read=lambda item: _drawn(item.id))


def cnn(image_size: int, pretrained: bool) -> Any:
    import timm

    return timm.create_model("resnet18", num_classes=0, layers=(1, 1, 1, 1), channels=(16, 32, 64, 128))


def vit(image_size: int, pretrained: bool) -> Any:
    import timm

    slim: Mapping[str, int] = {"depth": 2, "embed_dim": 48, "num_heads": 3, "patch_size": 8}
    return timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=image_size, **slim)


BACKBONES = {
    "CNN": BackboneOffer(cnn, "a ResNet of four blocks"),
    "ViT": BackboneOffer(vit, "a ViT of two blocks, patches of 8 px"),
}
