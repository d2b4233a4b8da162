"""Compares what a record says of its fold with the folds themselves, if these are known."""

from collections.abc import Iterator, Mapping

import numpy as np

from cervbench.protocol.folds import FoldError, Manifest, frozen, shipped
from cervbench.protocol.protocol import Protocol
from cervbench.records.record import Record


def fold_differences(
    record: Record, columns: Mapping[str, np.ndarray], rules: Protocol, manifest: Manifest | None
) -> Iterator[str]:
    """A line for each kind of claim that differs from the record's fold: images, groups, labels and counts.

    A complete dataset whose folds ship with cervbench must have these, or former ones that still ship. Where
    the `known_folds` of a record are None, only their hash is known, and nothing can be compared.
    """
    tested = record.run.dataset
    known = {hash for name, hash in shipped().items() if name.partition("@")[0] == tested.variant}
    if known and tested.manifest not in known:
        told = ", ".join(sorted(known))
        yield f"run.dataset.manifest: stored {tested.manifest}, for {tested.variant} there is {told}"
        return
    if manifest is None:
        return
    if tested.folds != manifest.folds:
        yield f"run.dataset.folds: stored {tested.folds}, there are {manifest.folds}"
    try:
        fold = manifest.fold(record.run.fold)
    except FoldError as error:
        yield f"run.fold: {error}"
        return
    row_of = {manifest.images[row]: row for row in fold.test}
    images = np.asarray(columns["image"], dtype=str)
    for draw in np.unique(columns["draw"]):
        if sorted(images[columns["draw"] == draw]) != sorted(row_of):
            yield f"draw {draw}: the images predicted are not the {len(row_of)} test images of the fold"
    for column, truth in (("group", manifest.groups), ("label", manifest.labels)):
        for image, stored in zip(images, columns[column], strict=True):
            if image in row_of and stored != truth[row_of[image]]:
                yield f"{column} of image {image}: stored {stored}, in the folds {truth[row_of[image]]}"
                break
    train, val = manifest.permitted(fold, record.ratio, 0, rules.labels)
    for part, rows, stored in (("train", train, record.labels.train), ("val", val, record.labels.val)):
        if stored != len(rows):
            yield f"labels.{part}: stored {stored}, recomputed {len(rows)}"


def known_folds(record: Record, beside: Manifest | None) -> Manifest | None:
    """The folds that a record names, if they ship with cervbench or lie beside the record."""
    hash = record.run.dataset.manifest
    name = next((name for name, one in shipped().items() if one == hash), None)
    return beside if name is None else frozen(name)
