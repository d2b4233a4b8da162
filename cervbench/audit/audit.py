"""The audit of a dataset: the ladder, what can be told without looking at the cell, and near-duplicates."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from cervbench.atomic import write_text
from cervbench.audit.findings import ALIKE, IMAGE_SIZE, LOOKED_AT, OWN, RANDOM, Audit, NamedPair, control_of
from cervbench.audit.ladder import climb
from cervbench.audit.page import page
from cervbench.audit.pairs import SHOWN, Pair, closest_pairs, draw_sheet
from cervbench.data.batches import Images
from cervbench.data.cards.card import Card
from cervbench.data.dataset import Dataset
from cervbench.data.stored import StoredImages
from cervbench.data.views import Pyramid
from cervbench.markup.escaping import file_name
from cervbench.training.backbones import LITE0, cervbench_backbones
from cervbench.training.inference import outputs_of
from cervbench.training.initial_weights import build_encoder


def audit(dataset: Dataset, out: Path) -> tuple[Audit, list[Path]]:
    """Audit a dataset and write `<variant>.md`, `<variant>.json` and a sheet of the closest pairs."""
    found, pairs = _examine(dataset)
    name = file_name(dataset.variant)
    paths = [out / f"{name}.md", out / f"{name}.json", out / f"{name}-pairs.png"]
    write_text(paths[0], page(found))
    write_text(paths[1], found.to_json())
    draw_sheet(dataset, pairs[:SHOWN], paths[2])
    return found, paths


def _examine(dataset: Dataset) -> tuple[Audit, list[Pair]]:
    pack, card = dataset.pack, dataset.card
    rows = np.flatnonzero([label != "" for label in pack.labels])
    labels = np.array([pack.labels[row] for row in rows])
    ids, groups = [pack.ids[row] for row in rows], [pack.groups[row] for row in rows]
    features = imagenet_features(dataset, rows)
    groupings = groupings_of(card, ids, groups)
    pairs = closest_pairs(dataset, LOOKED_AT)
    audited = Audit(
        variant=dataset.variant,
        images=len(pack.ids),
        labelled=len(rows),
        classes={
            name: len({g for g, label in zip(groups, labels, strict=True) if label == name})
            for name in card.classes
        },
        group=card.group,
        abnormal=float(np.isin(labels, list(card.abnormal)).mean()),
        ladder=climb(features, labels, groupings, card.abnormal, controls_of(card, groupings)),
        without_the_cell=[
            climb(simple, labels, {name: groups}, card.abnormal)[0]
            for name, simple in (
                ("width and height", _size_alone(pack.native_size[rows])),
                ("mean colour", _colour_alone(pack.pixels, rows)),
            )
        ],
        alike=sum(pair.correlation >= ALIKE for pair in pairs),
        pairs=[
            NamedPair(
                pack.ids[pair.one],
                pack.ids[pair.other],
                f"{pack.labels[pair.one]} / {pack.labels[pair.other]}",
                round(pair.correlation, 4),
            )
            for pair in pairs[:SHOWN]
        ],
    )
    return audited, pairs


def groupings_of(card: Card, ids: Sequence[str], groups: Sequence[str]) -> dict[str, Sequence[str]]:
    """What folds may keep together, from the most groups to the fewest."""
    found: dict[str, Sequence[str]] = {RANDOM: ids} | ({OWN: groups} if card.groups_known else {})
    found |= {name: [str(g) for g in group(ids)] for name, group in card.groupings.items()}
    return dict(sorted(found.items(), key=lambda item: -len(set(item[1]))))


def controls_of(card: Card, by_size: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """The card's own groups and wider ones. Where groups are not known, there is nothing to control."""
    wide = list(by_size)[list(by_size).index(OWN) :] if card.groups_known else []
    return {control_of(name): by_size[name] for name in wide}


def imagenet_features(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Features of a frozen EfficientNet-Lite0, which has never seen this dataset."""
    offer = cervbench_backbones()[LITE0]
    encoder = build_encoder(LITE0, offer, "imagenet", IMAGE_SIZE, ("audit",)).eval()
    chunks = []
    for start in range(0, len(rows), 128):
        chosen = rows[start : start + 128]
        pyramid = Pyramid(np.asarray(dataset.pack.pixels[chosen]), IMAGE_SIZE, torch.device("cpu"))
        images = Images(
            tuple(map(str, chosen)), dataset.pack.native_size[chosen], np.arange(len(chosen)), pyramid
        )
        chunks.append(outputs_of(lambda pixels, _: encoder(pixels), images, encoder.normalise))
    return np.concatenate(chunks)


def _size_alone(native: np.ndarray) -> np.ndarray:
    size = np.log(native.astype(float))
    return np.column_stack([size, size**2, size.prod(1)])


def _colour_alone(pixels: StoredImages, rows: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(pixels[row]).mean((0, 1)) for row in rows])
