"""Comparing a dataset on disk with what its card says of it."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from cervbench.data.cards.card import Card
from cervbench.data.cards.item import Item
from cervbench.data.cards.listing import image_files
from cervbench.data.error import DataError
from cervbench.data.frozen_folds import Listed
from cervbench.error import first_few
from cervbench.place import cores
from cervbench.protocol.dealing import require_dealable
from cervbench.protocol.folds import FoldError, Manifest, frozen
from cervbench.watching import WatchStages, unwatched

Kind = Literal[
    "listing",
    "missing",
    "surplus",
    "class",
    "unknown",
    "extra",
    "crossing",
    "folds",
    "unreadable",
    "duplicate",
]


@dataclass(frozen=True)
class Finding:
    """One way in which the files are not what the card says."""

    kind: Kind
    subject: str
    """The class, image, group or file that it is about."""
    detail: str


@dataclass(frozen=True)
class Report:
    """What is on disk, and how it differs from the card."""

    images: int
    groups: int
    counts: Mapping[str, int]
    """The number of images in each class, in the card's order."""
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        return not self.findings


def check(card: Card, data_root: Path, watch: WatchStages = unwatched) -> Report:
    """List, decode and compare every image of the dataset below the data root."""
    folder = card.below(data_root)
    try:
        items = card.listed(data_root)
    except DataError as error:
        return Report(0, 0, dict.fromkeys(card.classes, 0), (Finding("listing", str(folder), str(error)),))
    counts = Counter(item.label for item in items)
    findings = [
        *_classes(card, counts),
        *_extra(card, items, folder),
        *_folds(card, items),
        *_pixels(card, items, watch),
    ]
    return Report(
        images=len(items),
        groups=len({item.group for item in items}),
        counts={name: counts[name] for name in card.classes},
        findings=tuple(findings),
    )


def _classes(card: Card, counts: Mapping[str | None, int]) -> Iterator[Finding]:
    for name in card.classes:
        there, expected = counts[name], card.expected.get(name)
        if expected is not None and there < expected:
            yield Finding("missing", name, f"{there} of {expected} images; the variant is partial")
        elif expected is not None and there > expected:
            yield Finding("surplus", name, f"{there} images, and the dataset has {expected}")
        elif there == 0:
            yield Finding("missing", name, "no image")
    for label in counts:
        if label is not None and label not in card.classes:
            yield Finding("class", label, f"{counts[label]} images have a class that the card does not know")


def _extra(card: Card, items: Sequence[Item], folder: Path) -> Iterator[Finding]:
    """Image files that the card does not use. A folder of the user's own may hold anything besides."""
    if not card.expected or card.synthetic:
        return
    used = {item.path for item in items}
    for path in image_files(folder):
        name = path.relative_to(folder).as_posix()
        if path not in used and not any(fnmatch(name, pattern) for pattern in card.ignored):
            yield Finding("extra", name, "an image file that is not part of the dataset, or has no label")


def _crossing(items: Sequence[Item]) -> Iterator[Finding]:
    splits = defaultdict(set)
    for item in items:
        splits[item.group].add(item.split or "")
    for group, names in splits.items():
        if len(names) > 1:
            yield Finding("crossing", group, f"the group is in {' and '.join(sorted(names))}")


def _folds(card: Card, items: Sequence[Item]) -> Iterator[Finding]:
    """What a run would refuse to divide into folds, and what disagrees with those that the card ships."""
    listed = Listed(
        ids=[item.id for item in items],
        labels=[item.label or "" for item in items],
        groups=[item.group for item in items],
        splits=[item.split for item in items],
    )
    wrong = list(_crossing(items))
    try:
        if card.manifest:
            whole = frozen(card.manifest)
            wrong += _unlike(card, items, listed, whole)
            sound = not wrong
            if missing := sorted(set(whole.images) - set(listed.ids)):
                wrong.append(Finding("missing", f"{len(missing)} images", first_few(missing)))
            if sound:
                listed.divided(card, whole)
        elif not wrong:
            splits = listed.splits if any(listed.splits) else None
            require_dealable(listed.ids, listed.labels, listed.groups, splits)
    except FoldError as error:
        wrong.append(Finding("folds", card.manifest or card.name, str(error)))
    yield from wrong


def _unlike(card: Card, items: Sequence[Item], listed: Listed, whole: Manifest) -> Iterator[Finding]:
    for one in listed.disagreements(card, whole):
        yield Finding(one.kind, items[one.row].id, f"{items[one.row].path} {one.told}")


def _pixels(card: Card, items: Sequence[Item], watch: WatchStages) -> Iterator[Finding]:
    """Decodes every image, and finds the broken ones and the duplicates."""
    first: dict[str, Item] = {}
    with ThreadPoolExecutor(cores()) as pool:  # decoding releases the GIL
        decoded = pool.map(lambda item: _hashed(card, item), items)
        for done, (item, (hashed, problem)) in enumerate(zip(items, decoded, strict=True), start=1):
            watch(f"check {card.name}", done, len(items), {})
            if problem:
                yield Finding("unreadable", item.id, problem)
            elif hashed in first:
                yield Finding("duplicate", item.id, _alike(item, first[hashed]))
            else:
                first[hashed] = item


def _hashed(card: Card, item: Item) -> tuple[str, str]:
    """A hash of the decoded image and an empty string, or no hash and what is wrong with the image."""
    try:
        image = card.image(item)
    except DataError as error:
        return "", str(error)
    return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest(), ""


def _alike(item: Item, other: Item) -> str:
    label = "" if item.label == other.label else f", which is {other.label} where this is {item.label}"
    group = "" if item.group == other.group else ", in another group: the two may lie on both sides of a fold"
    return f"the same pixels as {other.id}{label}{group}"
