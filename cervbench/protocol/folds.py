"""Folds: ten class-balanced bins of groups, divided five ways into train, val and test, and frozen as data.

Fold k tests on bins 2k and 2k+1, validates on bin 2k+2 (dealing.py sees to it that the even bins lack no
class, where that is possible), and trains on the other seven. So every image is tested exactly once, and
no group is ever on two sides. The bins alone decide: part of a dataset has the folds of the whole.
A dataset whose source fixes the three parts has one fold, the official one.
"""

import csv
import hashlib
import io
import re
from collections.abc import Hashable, Mapping, Sequence
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
_WHOLE = re.compile(r"-?[0-9]{1,9}")
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
        writer.writerow(_header(self.official, self.orders.shape[1]))
        for row, image in enumerate(self.images):
            writer.writerow([image, self.labels[row], self.groups[row], self.bins[row], *self.orders[row]])
        return out.getvalue()

    @classmethod
    def from_csv(cls, text: str) -> "Manifest":
        """What `to_csv` wrote; FoldError names the first row by which a group could be on two sides, say."""
        header, *rows = list(csv.reader(io.StringIO(text))) or [[]]
        official, draws = "split" in header, len(header) - len(_header(False, 0))
        if draws < 1 or header != _header(official, draws):
            raise FoldError(
                f"its first row is {','.join(header)!r}, where {','.join(_header(False, 1))!r} is due, and "
                "order_1 and so on, with `split` in place of `bin` for official parts"
            )
        if (wrong := next((n for n, row in enumerate(rows) if len(row) != len(header)), None)) is not None:
            raise FoldError(f"row {wrong + 2} has {len(rows[wrong])} columns, and the first {len(header)}")
        images, labels, groups, *numbers = zip(*rows, strict=True) if rows else [()] * len(header)
        bins, *orders = (
            _whole_numbers(column, name) for column, name in zip(numbers, header[3:], strict=True)
        )
        found = cls(images, labels, groups, bins, np.column_stack(orders), official)
        found._require_sound()
        return found

    def _require_sound(self) -> None:
        """Refuse what `deal` would not make. Rows are named as in the file, whose first is the header."""
        if not self.images:
            raise FoldError("it has no image")
        self._refuse(_first_of(self.images) != np.arange(len(self.images)), "has an id that stands above it")
        least, most = (0, len(OFFICIAL) - 1) if self.official else (IN_NO_BIN, BINS - 1)
        self._refuse((self.bins < least) | (self.bins > most), f"is in no part from {least} to {most}")
        self._refuse(
            self.bins != self.bins[_first_of(self.groups)],
            "is in another part than an image of its group above it, and a group belongs to one",
        )
        labelled = np.array([label != "" for label in self.labels])
        self._refuse(
            labelled & (self.bins == IN_NO_BIN), f"has a label, and {IN_NO_BIN} is for groups without any"
        )
        for draw, places in enumerate(self.orders.T):
            self._refuse(places < 0, f"has a place below 0 in order_{draw}")
            repeated = _first_of(places.tolist()) != np.arange(len(places))
            self._refuse(
                repeated, f"has the place in order_{draw} of an image above it, and each has its own"
            )

    def _refuse(self, wrong: np.ndarray, told: str) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            raise FoldError(f"row {row + 2}, image {self.images[row]!r}, {told}")

    def subset(self, images: Sequence[str], labels: Sequence[str]) -> "Manifest":
        """The same bins and orders for the images at hand, with the labels that their card gives."""
        row_of = {image: row for row, image in enumerate(self.images)}
        strange = [image for image in images if image not in row_of]
        if strange:
            raise FoldError(
                f"{len(strange)} images are not in the frozen folds, the first is {strange[0]!r}; "
                "they cannot be used under the dataset's own name: bring them as a manifest of your own, or "
                "ship folds with your card that have them"
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


def _first_of(values: Sequence[Hashable]) -> np.ndarray:
    """For each row, the first row that has the same value."""
    first: dict[Hashable, int] = {}
    return np.array([first.setdefault(value, row) for row, value in enumerate(values)])


def _header(official: bool, draws: int) -> list[str]:
    return ["image", "label", "group", "split" if official else "bin", *(f"order_{d}" for d in range(draws))]


def _whole_numbers(column: Sequence[str], name: str) -> np.ndarray:
    for row, value in enumerate(column):
        if not _WHOLE.fullmatch(value):
            raise FoldError(f"row {row + 2}: {value!r} is no whole number, and stands in column {name}")
    return np.array(column).astype(int)


def _hash_of(csv: str) -> str:
    return hashlib.sha256(csv.encode()).hexdigest()[:16]


@cache
def frozen(name: str) -> Manifest:
    """The manifest that ships with cervbench under this name, or with another package as `package:file`."""
    package, _, file = name.rpartition(":")
    try:
        table = files(package).joinpath(file) if package else _SHIPPED.joinpath(f"{name}.csv")
        text = table.read_text("utf-8")
    except (ImportError, TypeError, OSError) as error:  # TypeError: a module that is not a package
        raise FoldError(
            f"the frozen folds {name!r} are not there: {error}. Name a file of a package as "
            f"'my_package:folds.csv', or one of cervbench's: {', '.join(shipped())}"
        ) from error
    except UnicodeDecodeError as error:
        raise FoldError(f"the frozen folds {table} are no table of folds: {error}") from error
    try:
        return Manifest.from_csv(text)
    except (FoldError, csv.Error) as error:
        raise FoldError(
            f"the frozen folds {table} are no table of folds: {error}; put the file there as a run wrote it"
        ) from error


@cache
def shipped() -> Mapping[str, str]:
    """The hashes of the manifests that come with cervbench, by name; found without parsing them.

    Folds that were dealt anew leave the former as `<name>@<hash>`, by which older records are verified.
    """
    names = sorted(path.name for path in _SHIPPED.iterdir() if path.name.endswith(".csv"))
    return {name.removesuffix(".csv"): _hash_of(_SHIPPED.joinpath(name).read_text("utf-8")) for name in names}
