"""Deals groups into ten bins, each class spread evenly over them, which makes a manifest of folds."""

from collections.abc import Sequence

import numpy as np

from cervbench.error import first_few
from cervbench.protocol.folds import BINS, FOLDS, IN_NO_BIN, OFFICIAL, FoldError, Manifest
from cervbench.protocol.labels import draw_orders
from cervbench.protocol.protocol import FoldRules
from cervbench.protocol.randomness import generator


def deal(
    images: Sequence[str],
    labels: Sequence[str],
    groups: Sequence[str],
    rules: FoldRules,
    draws: int,
    splits: Sequence[str | None] | None = None,
) -> Manifest:
    """Folds and label orders by the protocol's rules; a function of ids, labels and groups alone."""
    order = sorted(range(len(images)), key=lambda row: images[row])
    images, labels, groups = ([column[row] for row in order] for column in (images, labels, groups))
    splits = None if splits is None else [splits[row] for row in order]
    require_dealable(images, labels, groups, splits)
    if splits is None:
        tested = {group for label, group in zip(labels, groups, strict=True) if label}
        rows = [row for row, group in enumerate(groups) if group in tested]
        bins = np.full(len(images), IN_NO_BIN)
        bins[rows] = _best_deal([labels[row] for row in rows], [groups[row] for row in rows], rules)
    else:
        bins = np.array([OFFICIAL[str(split)] for split in splits])
    orders = draw_orders(images, labels, draws)
    return Manifest(tuple(images), tuple(labels), tuple(groups), bins, orders, official=splits is not None)


def require_dealable(
    images: Sequence[str],
    labels: Sequence[str],
    groups: Sequence[str],
    splits: Sequence[str | None] | None = None,
) -> None:
    """Refuse what cannot be dealt: a single class, a class in fewer groups than folds, unusable splits."""
    holders: dict[str, set[str]] = {}
    for label, group in zip(labels, groups, strict=True):
        if label:
            holders.setdefault(label, set()).add(group)
    if len(holders) < 2:
        raise FoldError(f"there are not two classes to tell apart: labels are {[*holders] or 'all missing'}")
    if splits is not None:
        _require_parts(images, labels, groups, splits)
        return
    if rare := [f"{name!r} in {len(held)}" for name, held in sorted(holders.items()) if len(held) < FOLDS]:
        raise FoldError(
            f"there are {FOLDS} folds, and a class in fewer groups cannot be tested in each: "
            f"{first_few(rare)}. Merge it with another class (a card may offer that: cric-3 for cric, lbc-2 "
            "for lbc; in a card of your own, CARD.merged(…) does), leave its labels empty, or say which "
            "images are train, val and test: in a column `split` of a manifest, or in a card by Item.split"
        )


def _require_parts(
    images: Sequence[str], labels: Sequence[str], groups: Sequence[str], splits: Sequence[str | None]
) -> None:
    """Refuse splits that miss an image, divide a group, lack train or test, or test an untrained class."""
    part_of: dict[str, str] = {}
    for image, group, split in zip(images, groups, splits, strict=True):
        if split not in OFFICIAL:
            raise FoldError(
                f"image {image!r} has the split {split!r}; each is train, val or test, or none is given"
            )
        if part_of.setdefault(group, split) != split:
            raise FoldError(f"group {group!r} is in {part_of[group]} and, with image {image!r}, in {split}")
    if missing := {"train", "test"} - set(part_of.values()):
        raise FoldError(f"the splits name no image for {' and '.join(sorted(missing))}")
    classes_of: dict[str, set[str]] = {part: set() for part in OFFICIAL}
    for label, split in zip(labels, splits, strict=True):
        classes_of[str(split)].add(label)
    if len(tested := classes_of["test"] - {""}) < 2:
        raise FoldError(
            f"the images of the split test have {len(tested)} classes, and with fewer than two there is "
            "nothing to tell apart"
        )
    if untrained := sorted(classes_of["test"] - classes_of["train"] - {""}):
        raise FoldError(
            f"class {untrained[0]!r} is tested, and no image of it has the split train, so that nobody could "
            "ever name it right: move some of its groups to train, or leave it out, in a manifest of your "
            "own, or in a card by Item.split or CARD.merged(…)"
        )


def _best_deal(labels: Sequence[str], groups: Sequence[str], rules: FoldRules) -> np.ndarray:
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    classes = sorted(set(labels) - {""})
    counts = np.zeros((len(names), len(classes) + 1))
    column = {name: c for c, name in enumerate(classes)}
    class_of = np.array([column.get(label, len(classes)) for label in labels])
    np.add.at(counts, (group_of, class_of), 1)
    shares = counts / np.maximum(counts.sum(0), 1)
    tries = max(1, min(rules.deals, 100_000 // len(names)))
    best, best_cost = None, np.inf
    for attempt in range(tries):
        rng = generator("folds", attempt)
        dealt = _deal_once(shares, rng)
        for _ in range(20):
            paired = rng.permutation(BINS)[dealt]
            cost = _cost(counts[:, : len(classes)], shares, paired)
            if cost < best_cost:
                best, best_cost = paired, cost
    assert best is not None
    return best[group_of]


def _deal_once(shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Deal greedily: the heaviest groups first, each to the bin where it evens out its classes most."""
    weight = shares.max(1) * rng.uniform(0.7, 1.3, len(shares))
    held = np.zeros((BINS, shares.shape[1]))
    dealt = np.empty(len(shares), dtype=int)
    for group in np.argsort(-weight, kind="stable"):
        added = 2 * held @ shares[group] + 1e-9 * rng.random(BINS)
        dealt[group] = np.argmin(added)
        held[dealt[group]] += shares[group]
    return dealt


def _cost(counts: np.ndarray, shares: np.ndarray, dealt: np.ndarray) -> float:
    """How unevenly the classes lie over bins; a part that lacks a class, or nearly, costs much more."""
    held = np.zeros((BINS, shares.shape[1]))
    np.add.at(held, dealt, shares)
    images = np.zeros((BINS, counts.shape[1]))
    np.add.at(images, dealt, counts)
    tested, validated = images[0::2] + images[1::2], images[0::2]
    wanting = np.maximum(0, 5 - tested) / 5
    uneven = ((held - 1 / BINS) ** 2).sum()
    return float(uneven + 10 * wanting.sum() + 10 * (tested == 0).sum() + (validated == 0).sum())
