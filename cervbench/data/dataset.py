"""A dataset ready to be run on: its card, its pack, and its folds."""

import hashlib
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from unicodedata import normalize

import numpy as np

from cervbench.atomic import write_text
from cervbench.data.cards.card import Card
from cervbench.data.error import DataError
from cervbench.data.frozen_folds import Listed
from cervbench.data.pack import Pack, prepare
from cervbench.error import first_few
from cervbench.protocol.dealing import deal
from cervbench.protocol.folds import FoldError, Manifest, frozen
from cervbench.protocol.protocol import Rules
from cervbench.sealed import is_whole, seal
from cervbench.watching import WatchStages, unwatched


@dataclass(frozen=True)
class Dataset:
    card: Card
    pack: Pack
    manifest: Manifest

    @cached_property
    def variant(self) -> str:
        """The dataset's name if it is complete; otherwise the name with a hash of what is there.

        That is a hash of the ids, where the card says what is behind an id. Behind those of a user's own
        images there may be anything: `img/001.png` is in many folders.
        """
        counts = {name: self.pack.labels.count(name) for name in self.card.classes}
        if self.card.synthetic or (self.card.expected and counts == dict(self.card.expected)):
            return self.card.name
        if not self.card.expected:
            return f"{self.card.name}@{self.pack.hash[:8]}"
        ids = hashlib.sha256("\n".join(self.pack.ids).encode()).hexdigest()
        return f"{self.card.name}@{ids[:8]}"

    @cached_property
    def label_indices(self) -> np.ndarray:
        """The index of each image's class; -1 for an unlabelled image."""
        place = {name: c for c, name in enumerate(self.card.classes)} | {"": -1}
        return np.array([place[label] for label in self.pack.labels])


def open_dataset(
    card: Card,
    data_root: Path,
    cache: Path,
    rules: Rules,
    watch: WatchStages = unwatched,
) -> Dataset:
    """The dataset with its pack, built if there is none yet, and its folds, frozen or dealt by the rule."""
    pack = prepare(card, data_root, cache, rules.pack.stored_size, watch)
    _refuse_missing_classes(card, pack)
    _warn_of_twins(card, pack)
    _warn_of_like_groups(card, pack)
    try:
        return Dataset(card, pack, _folds(card, pack, rules))
    except FoldError as error:
        raise DataError(f"{card.name}: {error}") from None


def _refuse_missing_classes(card: Card, pack: Pack) -> None:
    for name in card.classes:
        if name not in pack.labels:
            raise DataError(
                f"{card.name} has no image of the class {name!r}; `cervbench data check {card.name}` says "
                "what is missing. To leave the class out, bring the images as a manifest of your own, or "
                "offer a card without it"
            )


def _warn_of_twins(card: Card, pack: Pack) -> None:
    """Warn of images that are in two groups, and so perhaps on both sides of a fold."""
    if not card.groups_known:
        return  # a warning of its own says that folds may leak
    first: dict[bytes, int] = {}
    twins = [
        f"{pack.ids[before]} and {pack.ids[row]}"
        for row, digest in enumerate(pack.digests)
        if pack.groups[before := first.setdefault(digest, row)] != pack.groups[row]
    ]
    if twins:
        logging.getLogger("cervbench").warning(
            "%s: the same pixels are in two groups, so that they may be trained on and tested: %s",
            card.name,
            first_few(twins),
        )


def _warn_of_like_groups(card: Card, pack: Pack) -> None:
    """Warn of groups that differ in case alone: if they are one, it may be on both sides of a fold."""
    if not card.groups_known:
        return
    first: dict[str, str] = {}
    folded = {name: normalize("NFC", name).casefold() for name in sorted(set(pack.groups))}
    alike = [(first.setdefault(key, name), name) for name, key in folded.items()]
    if pairs := [f"{before} and {name}" for before, name in alike if before != name]:
        logging.getLogger("cervbench").warning(
            "%s: these groups differ in upper and lower case alone; if they are one, write them alike, or it "
            "may be trained on and tested: %s",
            card.name,
            first_few(pairs),
        )


def _folds(card: Card, pack: Pack, rules: Rules) -> Manifest:
    """Those that the card ships, held against the images; or else dealt."""
    if not card.manifest:
        return _dealt(pack, rules)
    whole = frozen(card.manifest)
    if (orders := whole.orders.shape[1]) < rules.labels.draws:
        raise FoldError(
            f"the frozen folds {card.manifest!r} hold {orders} label orders, and the protocol draws "
            f"{rules.labels.draws}; ship folds that were dealt by protocol v{rules.version}"
        )
    return Listed(pack.ids, pack.labels, pack.groups, pack.splits).divided(card, whole)


def _dealt(pack: Pack, rules: Rules) -> Manifest:
    """Folds by the protocol's rule, dealt once for each pack and kept with it."""
    kept = pack.folder / f"folds-v{rules.version}.csv"
    if (manifest := _kept(kept)) and (manifest.images, manifest.labels) == (pack.ids, pack.labels):
        return manifest
    splits = pack.splits if any(pack.splits) else None
    manifest = deal(pack.ids, pack.labels, pack.groups, rules.folds, rules.labels.draws, splits)
    write_text(kept, manifest.to_csv())
    seal(kept)
    return manifest


def _kept(path: Path) -> Manifest | None:
    """Folds that were dealt before; None if they were not, or if the file is damaged."""
    return Manifest.from_csv(path.read_text("utf-8")) if is_whole(path) else None


def require_fold(dataset: Dataset, fold: int) -> None:
    """Refuse a fold that does not exist, tests nothing, or has a single class to train on.

    A part of a dataset has the folds of the whole, so its folds may well be like that.
    """
    manifest, parts = dataset.manifest, dataset.manifest.fold(fold)
    classes = {manifest.labels[row] for row in parts.train} - {""}
    if len(parts.test) and len(classes) > 1:
        return
    lacking = "tests no image" if not len(parts.test) else f"has {len(classes)} classes to train on"
    raise DataError(
        f"{dataset.variant}: fold {fold} {lacking}; name others with --folds, or bring the images as a "
        "manifest of your own, whose folds are dealt from what is there"
    )


def warn_of_unknown_groups(dataset: Dataset) -> None:
    """Warn that images of one patient, say, may be on two sides of a fold."""
    if not dataset.card.groups_known:
        logging.getLogger("cervbench").warning(
            "%s: nothing says which images belong together, so folds may leak and scores may be too high; in "
            "a manifest of your own, the column `group` says it",
            dataset.variant,
        )


def warn_of_untrained_classes(dataset: Dataset) -> None:
    """Warn of folds of a partial dataset that test a class without any image of it left to train on."""
    for name, lacking in dataset.manifest.lacking().items():
        untrained = [where.removesuffix(": train") for where in lacking if where.endswith(": train")]
        tested = [fold for fold in untrained if f"{fold}: test" not in lacking]
        if tested:
            logging.getLogger("cervbench").warning(
                "%s: images of class %s are tested in %s and trained on in none of these, where no method "
                "can name it right",
                dataset.variant,
                name,
                ", ".join(tested),
            )
