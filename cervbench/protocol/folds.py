"""Folds: groups dealt into ten class-balanced bins, five ways to part them, frozen as data.

Fold k tests bins 2k and 2k+1, validates on bin 2k+2 (the deal sees to it that the even bins lack no
class, where that can be), and trains on the other seven. So every image is tested exactly once, and
no group is ever on two sides. The bins alone decide: a part of a dataset has the folds of the whole.
A dataset whose source fixes the parts has one fold, the official one.
"""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files

import numpy as np

from cervbench.error import UsageError
from cervbench.protocol.labels import draw_orders, uncovered
from cervbench.protocol.protocol import FoldRules, LabelRules
from cervbench.protocol.randomness import generator

FOLDS = 5
BINS = 2 * FOLDS
OFFICIAL = {"train": 0, "val": 1, "test": 2}
_SHIPPED = files("cervbench.protocol").joinpath("frozen")


class FoldError(UsageError, ValueError):
    """A dataset cannot be parted by the rules; the message says why and what to do."""


@dataclass(frozen=True)
class Fold:
    """Row numbers of the three parts. Unlabelled images are only ever trained on."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Manifest:
    """What decides the folds and the label orders of a dataset: a row an image, sorted by image."""

    images: tuple[str, ...]
    labels: tuple[str, ...]
    """Class names; empty for an unlabelled image."""
    groups: tuple[str, ...]
    bins: np.ndarray
    """0 to 9, or 0, 1, 2 for official train, val and test."""
    orders: np.ndarray
    """Place of each image in each of the label orders: images × draws."""
    official: bool = False

    @property
    def folds(self) -> int:
        return 1 if self.official else FOLDS

    @cached_property
    def classes(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.labels) - {""}))

    def fold(self, k: int) -> Fold:
        if not 0 <= k < self.folds:
            raise FoldError(f"no fold {k}: this dataset has {self.folds}, numbered from 0")
        test, val = self._parts(k)
        is_test, is_val = np.isin(self.bins, test), self.bins == val
        labelled = np.array([label != "" for label in self.labels])
        return Fold(
            train=np.flatnonzero(~is_test & ~is_val),
            val=np.flatnonzero(is_val & labelled),
            test=np.flatnonzero(is_test & labelled),
        )

    def _parts(self, k: int) -> tuple[list[int], int]:
        """Bins of test, and the bin of val."""
        if self.official:
            return [OFFICIAL["test"]], OFFICIAL["val"]
        return [2 * k, 2 * k + 1], (2 * k + 2) % (2 * self.folds)

    def permitted(
        self, fold: Fold, ratio: int, draw: int, rules: LabelRules
    ) -> tuple[np.ndarray, np.ndarray]:
        """The rows of train and of val whose labels may be seen at a ratio, in one draw."""
        places = self.orders[:, draw]
        val = fold.val if rules.sees_val(ratio) else fold.val[:0]
        return uncovered(self.labels, places, fold.train, ratio), uncovered(self.labels, places, val, ratio)

    def lacking(self) -> dict[str, list[str]]:
        """Classes that are not in all three parts of a fold: class to 'fold k: part'."""
        found: dict[str, list[str]] = {}
        for k in range(self.folds):
            fold = self.fold(k)
            for part in ("train", "val", "test"):
                present = {self.labels[row] for row in getattr(fold, part)}
                for name in self.classes:
                    if name not in present:
                        found.setdefault(name, []).append(f"fold {k}: {part}")
        return found

    @cached_property
    def hash(self) -> str:
        return _hash_of(self.to_csv())

    def to_csv(self) -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        draws = self.orders.shape[1]
        writer.writerow(
            [
                "image",
                "label",
                "group",
                "split" if self.official else "bin",
                *(f"order_{d}" for d in range(draws)),
            ]
        )
        for row, image in enumerate(self.images):
            writer.writerow([image, self.labels[row], self.groups[row], self.bins[row], *self.orders[row]])
        return out.getvalue()

    @classmethod
    def from_csv(cls, text: str) -> "Manifest":
        header, *rows = list(csv.reader(io.StringIO(text)))
        return cls(
            images=tuple(row[0] for row in rows),
            labels=tuple(row[1] for row in rows),
            groups=tuple(row[2] for row in rows),
            bins=np.array([int(row[3]) for row in rows]),
            orders=np.array([[int(place) for place in row[4:]] for row in rows]),
            official=header[3] == "split",
        )

    def of(self, images: Sequence[str], labels: Sequence[str]) -> "Manifest":
        """The same bins and orders for the images at hand, with the labels that their card gives."""
        row_of = {image: row for row, image in enumerate(self.images)}
        strange = [image for image in images if image not in row_of]
        if strange:
            raise FoldError(
                f"{len(strange)} images are not in the frozen folds, the first is {strange[0]!r}; "
                "they cannot be used under the dataset's own name: bring them as a manifest of your own"
            )
        rows = np.array([row_of[image] for image in images])
        return Manifest(
            images=tuple(images),
            labels=tuple(labels),
            groups=tuple(self.groups[row] for row in rows),
            bins=self.bins[rows],
            orders=self.orders[rows],
            official=self.official,
        )


def _hash_of(csv: str) -> str:
    return hashlib.sha256(csv.encode()).hexdigest()[:16]


@cache
def frozen(name: str) -> Manifest:
    """The manifest that ships with cervbench under this name, or with another package as `package:file`."""
    package, _, file = name.rpartition(":")
    try:
        table = files(package).joinpath(file) if package else _SHIPPED.joinpath(f"{name}.csv")
        return Manifest.from_csv(table.read_text("utf-8"))
    except (ImportError, TypeError, OSError) as error:  # TypeError: of a module that is no package
        raise FoldError(
            f"the frozen folds {name!r} are not there: {error}. Name a file of a package as "
            f"'my_package:folds.csv', or one of cervbench's: {', '.join(shipped())}"
        ) from error
    except (ValueError, IndexError, csv.Error) as error:
        raise FoldError(f"the frozen folds {name!r} are no table of folds: {error}") from error


@cache
def shipped() -> Mapping[str, str]:
    """The hashes of the manifests that come with the package, by name; none of them is parsed for it."""
    names = sorted(path.name for path in _SHIPPED.iterdir() if path.name.endswith(".csv"))
    return {name.removesuffix(".csv"): _hash_of(_SHIPPED.joinpath(name).read_text("utf-8")) for name in names}


def deal(
    images: Sequence[str],
    labels: Sequence[str],
    groups: Sequence[str],
    rules: FoldRules,
    draws: int,
    splits: Sequence[str | None] | None = None,
) -> Manifest:
    """Folds and label orders by the rule; a function of ids, labels and groups alone."""
    order = sorted(range(len(images)), key=lambda row: images[row])
    images, labels, groups = ([column[row] for row in order] for column in (images, labels, groups))
    splits = None if splits is None else [splits[row] for row in order]
    require_dealable(images, labels, groups, splits)
    if splits is None:
        bins = _best_deal(labels, groups, rules)
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
    """Refuse what no deal can part: one class, a class in fewer groups than folds, splits that are none."""
    holders: dict[str, set[str]] = {}
    for label, group in zip(labels, groups, strict=True):
        if label:
            holders.setdefault(label, set()).add(group)
    if len(holders) < 2:
        raise FoldError(f"there are not two classes to tell apart: labels are {[*holders] or 'all missing'}")
    if splits is not None:
        _require_parts(images, labels, groups, splits)
        return
    for name, held in sorted(holders.items()):
        if len(held) < FOLDS:
            raise FoldError(
                f"class {name!r} is in {len(held)} groups and there are {FOLDS} folds: it cannot be "
                "tested in each. Merge it with another class (a card may offer that: cric-3 for cric, lbc-2 "
                "for lbc), or say in a column `split` of a manifest which images are train, val and test"
            )


def _require_parts(
    images: Sequence[str], labels: Sequence[str], groups: Sequence[str], splits: Sequence[str | None]
) -> None:
    """Refuse splits that miss an image, part a group, train or test nothing, or test what is not trained."""
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
    if untrained := sorted(classes_of["test"] - classes_of["train"] - {""}):
        raise FoldError(
            f"class {untrained[0]!r} is tested, and no image of it has the split train, so that nobody could "
            "ever name it right: in a manifest of your own, move some of its groups to train, or leave it out"
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
    """Greedy: the heaviest groups first, each to the bin where it evens out its classes most."""
    weight = shares.max(1) * rng.uniform(0.7, 1.3, len(shares))
    held = np.zeros((BINS, shares.shape[1]))
    dealt = np.empty(len(shares), dtype=int)
    for group in np.argsort(-weight, kind="stable"):
        added = 2 * held @ shares[group] + 1e-9 * rng.random(BINS)
        dealt[group] = np.argmin(added)
        held[dealt[group]] += shares[group]
    return dealt


def _cost(counts: np.ndarray, shares: np.ndarray, dealt: np.ndarray) -> float:
    """Unevenness of the classes over bins; a part that lacks a class, or nearly, costs much more."""
    held = np.zeros((BINS, shares.shape[1]))
    np.add.at(held, dealt, shares)
    images = np.zeros((BINS, counts.shape[1]))
    np.add.at(images, dealt, counts)
    tested, validated = images[0::2] + images[1::2], images[0::2]
    wanting = np.maximum(0, 5 - tested) / 5
    uneven = ((held - 1 / BINS) ** 2).sum()
    return float(uneven + 10 * wanting.sum() + 10 * (tested == 0).sum() + (validated == 0).sum())
