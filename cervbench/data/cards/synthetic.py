"""Synthetic cells, drawn by a procedure: everything from folds to pages can be tried without files."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from cervbench.data.cards import herlev
from cervbench.data.cards.card import Card
from cervbench.data.cards.item import Item
from cervbench.data.cards.source import Source

if TYPE_CHECKING:
    from PIL.Image import Image

    from cervbench.data.cards.drawing import Kind

CLASSES = tuple(herlev.EXPECTED)
GROUPS = 42
IMAGES_PER_GROUP = 10


def class_of(group: int, number: int) -> str:
    """The class of an image, by the number of its group and its own number in it.

    Half of the groups hold a single class, as the sessions of Herlev do; the others hold three, with six, two
    and two images. Each class has 60 images, in twelve groups.
    """
    main = group % len(CLASSES)
    if (group // len(CLASSES)) % 2 == 0 or number < 6:
        return CLASSES[main]
    return CLASSES[(main + (1 if number < 8 else 3)) % len(CLASSES)]


def items(folder: Path) -> Sequence[Item]:
    """All of the images, whatever is in the folder."""
    return [
        Item(f"{group:02d}-{number:02d}", class_of(group, number), f"{group:02d}", Path())
        for group in range(GROUPS)
        for number in range(IMAGES_PER_GROUP)
    ]


def read(item: Item) -> "Image":
    """Draws the image, which depends on the id alone."""
    from cervbench.data.cards.drawing import draw_cell, draw_stain

    group, number = (int(part) for part in item.id.split("-"))
    kinds = _kinds()
    return draw_cell(f"cell {item.id}", kinds[class_of(group, number)], draw_stain(f"{group:02d}"), kinds)


@cache
def _kinds() -> dict[str, "Kind"]:
    """With severity the nuclei grow larger, darker, more irregular and more clumped.

    The normal classes differ in shape and size.
    """
    from cervbench.data.cards.drawing import Kind

    return dict(
        zip(
            CLASSES,
            (
                Kind((0.11, 0.20), (0.9, 1.4), (0.00, 0.02), (0.05, 0.25), (0.20, 0.50), (1.0, 1.4), True),
                Kind((0.18, 0.31), (0.6, 1.1), (0.00, 0.03), (0.10, 0.35), (0.25, 0.60), (1.0, 1.6), True),
                Kind(
                    (0.28, 0.46),
                    (0.6, 1.1),
                    (0.01, 0.03),
                    (0.15, 0.40),
                    (0.3, 0.7),
                    (1.8, 3.0),
                    eccentric=0.5,
                ),
                Kind((0.30, 0.46), (0.6, 1.2), (0.01, 0.05), (0.25, 0.55), (0.30, 0.70), (1.0, 1.6)),
                Kind((0.40, 0.57), (0.7, 1.3), (0.02, 0.07), (0.35, 0.70), (0.30, 0.70), (1.0, 1.6)),
                Kind((0.49, 0.68), (0.8, 1.5), (0.03, 0.09), (0.45, 0.85), (0.35, 0.75), (1.0, 1.7)),
                Kind((0.60, 0.82), (0.9, 1.7), (0.05, 0.12), (0.60, 1.00), (0.35, 0.75), (1.0, 1.8)),
            ),
            strict=True,
        )
    )


CARD = Card(
    name="synthetic",
    title="Synthetic cells",
    classes=CLASSES,
    items=items,
    citation="Drawn by cervbench; not to be compared with real images.",
    licence="Apache-2.0, as cervbench",
    source=Source(page="", by_hand="Nothing is needed: the images are drawn when they are read."),
    group="preparation: cells of one stain, light and focus",
    abnormal=herlev.CARD.abnormal,
    severity=herlev.SEVERITY,
    expected={name: GROUPS * IMAGES_PER_GROUP // len(CLASSES) for name in CLASSES},
    read=read,
    synthetic=True,
)
