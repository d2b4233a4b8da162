"""What weights were trained on: written into their file, and read by runs that start from it."""

import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cervbench.data.cards.card import Card
from cervbench.plugin.manager import Plugins
from cervbench.records.record import Run


def header(run: Run, code: str, init_file: Path | None) -> dict[str, str]:
    """The header for the weights of a run; `init_file` is what it started from, if that was a file."""
    from cervbench.training.weight_file import BEFORE, CODE, RUN

    told = {RUN: run.model_dump_json(), CODE: code}
    before = _runs_behind(init_file) if init_file else []
    return {**told, BEFORE: json.dumps(before)} if before else told


def trained_on(weights: Path, card: Card, plugins: Plugins) -> list[tuple[str, int]]:
    """Dataset and fold of every run behind the weights that was pretrained on images of this card."""
    trained = [run for run in _readable(_runs_behind(weights)) if run.method.pretext]
    seen = dict.fromkeys((run.dataset.name, run.fold) for run in trained)
    return [(dataset, fold) for dataset, fold in seen if _has_images_of(card, dataset, plugins)]


def warn_of_tests_seen(weights: Path, card: Card, folds: Sequence[int], plugins: Plugins) -> None:
    """Warn if weights have seen test images of these folds: each fold trains on what the others test."""
    behind = _runs_behind(weights)
    if len(_readable(behind)) < len(behind):
        logging.getLogger("cervbench").warning(
            "%s has a run behind it that another version of cervbench wrote down, which cannot be read here: "
            "whether it has seen images that are tested cannot be told",
            weights,
        )
    for dataset, seen in trained_on(weights, card, plugins):
        if others := [fold for fold in folds if fold != seen]:
            logging.getLogger("cervbench").warning(
                "%s was trained on fold %s of %s. Images that fold %s of %s tests were among those it was "
                "trained on, so that scores there may be too high: take weights of the same fold",
                weights,
                seen,
                dataset,
                ", ".join(map(str, others)),
                card.name,
            )


def _runs_behind(weights: Path) -> list[str]:
    """The runs that led to a file, as JSON, the latest first; empty text for those that cannot be read."""
    from cervbench.training.weight_file import BEFORE, RUN, header_of

    told = header_of(weights)
    try:
        before = json.loads(told.get(BEFORE, "[]"))
    except (TypeError, ValueError, RecursionError):
        before = None
    return [told[RUN], *(before if isinstance(before, list) else [""])] if RUN in told else []


def _readable(behind: Sequence[str]) -> list[Run]:
    runs = []
    for run in behind:
        with suppress(ValueError):
            runs.append(Run.model_validate_json(run))
    return runs


def _has_images_of(card: Card, dataset: str, plugins: Plugins) -> bool:
    """Whether both are read from the same folder, as cric and cric-3 are."""
    cards = [entry.offer for _, entry in plugins.datasets.items() if entry.name == dataset]
    return card.name == dataset or any(known.below(Path()) == card.below(Path()) for known in cards)
