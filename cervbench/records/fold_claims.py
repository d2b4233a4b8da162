"""What a record says of its fold, held against the folds, where they are known."""

from collections.abc import Iterator, Mapping

import numpy as np

from cervbench.protocol.folds import FoldError, Manifest, frozen, shipped
from cervbench.protocol.protocol import Protocol
from cervbench.records.record import Record


def fold_differences(
    record: Record, columns: Mapping[str, np.ndarray], rules: Protocol, beside: Manifest | None
) -> Iterator[str]:
    """Images, groups, labels and label counts that are not those of the record's fold; one line each kind.

    A whole dataset whose folds are shipped has these, and no others. Those of another are known where they
    stand `beside` its records; where they do not, only their hash is, and nothing can be said.
    """
    tested = record.run.dataset
    known = shipped().get(tested.variant)
    if known is not None and known != tested.manifest:
        yield f"run.dataset.manifest: stored {tested.manifest}, recomputed {known}"
        return
    manifest = known_folds(record, beside)
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
    """Those that a record names, where cervbench ships them or they stand beside it."""
    hash = record.run.dataset.manifest
    name = next((name for name, one in shipped().items() if one == hash), None)
    return beside if name is None else frozen(name)
