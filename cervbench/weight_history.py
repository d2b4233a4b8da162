"""Which images weights were trained on: written into their file, and held against what a run tests.

Images are known by their pixels, whatever they are called and however they are dealt into folds: they may be
merged into other classes, a part of a copy, or dealt anew, and have been seen all the same. What is cut or
compressed otherwise has other pixels, and is not recognised.
"""

import base64
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from cervbench.data.dataset import Dataset
from cervbench.data.pack import FORMAT, Pack
from cervbench.records.record import Run

_MARK = 8
"""Bytes of an image's digest that are kept: of 100,000 images none is taken for another."""


def header(run: Run, code: str, dataset: Dataset, init_file: Path | None) -> dict[str, str]:
    """The header for the weights of a run; `init_file` is what it started from, if that was a file."""
    from cervbench.training.weight_file import CODE, RUN, SEEN

    told = {RUN: run.model_dump_json(), CODE: code}
    before = _seen_by(init_file, dataset.pack) if init_file else set()
    if before is None:
        return told
    now = _marks(dataset.pack, dataset.manifest.fold(run.fold).train) if run.method.pretext else set()
    marks = base64.b64encode(b"".join(sorted(before | now))).decode()
    return {**told, SEEN: f"{_form(dataset.pack)} {marks}"}


def seen_before(weights: Path, dataset: Dataset, fold: int) -> int | None:
    """How many of the images that a fold tests the weights were trained on; None if their file does not say.

    An image that also stands among those the fold trains on, under another name, is not counted.
    """
    seen, parts = _seen_by(weights, dataset.pack), dataset.manifest.fold(fold)
    if seen is None:
        return None
    return len(seen & _marks(dataset.pack, parts.test) - _marks(dataset.pack, parts.train))


def warn_of_tests_seen(weights: Path, dataset: Dataset, folds: Sequence[int]) -> None:
    """Warn if weights have seen test images of these folds: each fold trains on what the others test."""
    from cervbench.training.weight_file import RUN, header_of

    log = logging.getLogger("cervbench")
    seen = {fold: seen_before(weights, dataset, fold) for fold in folds}
    if None in seen.values():
        if RUN in header_of(weights):
            log.warning(
                "%s does not say which images it was trained on, or knows them as another version of "
                "cervbench stored them: whether it has seen images that are tested cannot be told",
                weights,
            )
    elif counts := {fold: count for fold, count in seen.items() if count}:
        log.warning(
            "%s was trained on images that are tested: %s of %s. Scores there may be too high: begin each "
            "fold from weights that were trained on it",
            weights,
            ", ".join(f"{count} in fold {fold}" for fold, count in counts.items()),
            dataset.variant,
        )


def _seen_by(weights: Path, pack: Pack) -> set[bytes] | None:
    """The marks in a file's header; None if there are none that can be held against the images of a pack."""
    from cervbench.training.weight_file import SEEN, header_of

    form, _, marks = str(header_of(weights).get(SEEN, "")).partition(" ")
    if form != _form(pack):
        return None
    try:
        every = base64.b64decode(marks, validate=True)
    except ValueError:
        return None
    return {every[start : start + _MARK] for start in range(0, len(every), _MARK)}


def _form(pack: Pack) -> str:
    """Pixels that were stored otherwise have other digests."""
    return f"{FORMAT}/{pack.pixels.shape[1]}"


def _marks(pack: Pack, rows: Iterable[int]) -> set[bytes]:
    return {pack.digests[row][:_MARK] for row in rows}
