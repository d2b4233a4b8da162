"""Folds: ten class-balanced bins of groups, divided five ways into train, val and test, and frozen as data.

Fold k tests on bins 2k and 2k+1, validates on bin 2k+2 (dealing.py sees to it that the even bins lack no
class, where that is possible), and trains on the other seven. So every image is tested exactly once, and
no group is ever on two sides. The bins alone decide: part of a dataset has the folds of the whole.
A dataset whose source fixes the three parts has one fold, the official one.
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
from cervbench.protocol.labels import uncovered
from cervbench.protocol.protocol import LabelRules

FOLDS = 5
BINS = 2 * FOLDS
IN_NO_BIN = -1
"""The bin of groups without any label: nobody can be tested on them, so that all folds train on them."""
OFFICIAL = {"train": 0, "val": 1, "test": 2}
_SHIPPED = files("cervbench.protocol").joinpath("frozen")


class FoldError(UsageError, ValueError):
    """A dataset cannot be divided by the rules; the message says why and what to do."""


@dataclass(frozen=True)
class Fold:
    """Row numbers of the three parts. Unlabelled images are in train alone."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Manifest:
    """What decides a dataset's folds and label orders: one row per image, sorted by image id."""

    images: tuple[str, ...]
    labels: tuple[str, ...]
    """Class names; empty for an unlabelled image."""
    groups: tuple[str, ...]
    bins: np.ndarray
    """0 to 9, or IN_NO_BIN, which is never held out; or 0, 1, 2 for official train, val and test."""
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
        """The bins of test, and the bin of val."""
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
        """Classes that some part of some fold lacks, each with a list of these as 'fold k: part'."""
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

    def subset(self, images: Sequence[str], labels: Sequence[str]) -> "Manifest":
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
    except (ImportError, TypeError, OSError) as error:  # TypeError: a module that is not a package
        raise FoldError(
            f"the frozen folds {name!r} are not there: {error}. Name a file of a package as "
            f"'my_package:folds.csv', or one of cervbench's: {', '.join(shipped())}"
        ) from error
    except (ValueError, IndexError, csv.Error) as error:
        raise FoldError(f"the frozen folds {name!r} are no table of folds: {error}") from error


@cache
def shipped() -> Mapping[str, str]:
    """The hashes of the manifests that come with cervbench, by name; found without parsing them."""
    names = sorted(path.name for path in _SHIPPED.iterdir() if path.name.endswith(".csv"))
    return {name.removesuffix(".csv"): _hash_of(_SHIPPED.joinpath(name).read_text("utf-8")) for name in names}
