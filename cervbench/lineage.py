"""Where weights and records are from: which run and which code made them, and who is to be told."""

import hashlib
import inspect
import logging
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cervbench.data.cards.card import Card
from cervbench.error import some
from cervbench.plugin.catalog import CORE, Entry
from cervbench.plugin.manager import Plugins
from cervbench.plugin.offers import Offer
from cervbench.plugin.problems import home_of
from cervbench.records.record import Record, Run


def header(run: Run, methods: Sequence[Entry[Offer]]) -> dict[str, str]:
    """For the weights of a run of these methods."""
    from cervbench.training.weight_file import CODE, RUN

    return {RUN: run.model_dump_json(), CODE: code_of(methods)}


def code_of(methods: Sequence[Entry[Offer]]) -> str:
    """A hash of the sources of their packages, found without importing them.

    The core is left out: it has its training rules.
    """
    code = hashlib.sha256()
    for method in methods:
        learner = method.offer.method
        if (home := home_of(learner)) != CORE:
            for source in _sources(home) or _written(learner):
                code.update(source)
    return code.hexdigest()[:16]


def warn_of_records_of_other_code(records: Sequence[Record], code: str) -> None:
    """Records are found by what was asked for, and an author who edits a method asks for the same."""
    older = [record for record in records if record.observed.get("code", code) != code]
    if older:
        run = older[0].run
        logging.getLogger("cervbench").warning(
            "%s on %s, fold %s: the code of this method has changed since these records were made, and they "
            "are taken as they are: %s. Raise `revision` in its Offer where the change is one of results, or "
            "ask for another --out",
            run.method.name,
            run.dataset.variant,
            run.fold,
            some([record.id for record in older]),
        )


def warn_of_tests_seen(init: str, card: Card, folds: Sequence[int], plugins: Plugins) -> None:
    """Warn of weights that have seen what these folds test: one fold tests what another trains on."""
    before = _left_by(Path(init))
    if before is None:
        return
    others = [fold for fold in folds if fold != before.fold]
    if others and before.method.pretext and _has_images_of(card, before.dataset.name, plugins):
        logging.getLogger("cervbench").warning(
            "%s was trained on fold %s of %s. Images that fold %s of %s tests were among those it was "
            "trained on, so that scores there may be too high: take weights of the same fold",
            init,
            before.fold,
            before.dataset.name,
            ", ".join(map(str, others)),
            card.name,
        )


def _left_by(weights: Path) -> Run | None:
    """The run that has left a file of weights; None where they are from elsewhere."""
    from cervbench.training.weight_file import RUN, header_of

    try:
        told = header_of(weights)[RUN]
    except (KeyError, ValueError):
        return None
    try:
        return Run.model_validate_json(told)
    except ValueError:
        logging.getLogger("cervbench").warning(
            "%s was left by another version of cervbench, whose header cannot be read here: whether it has "
            "seen images that are tested cannot be told",
            weights,
        )
        return None


def _has_images_of(card: Card, dataset: str, plugins: Plugins) -> bool:
    """Whether both are read from one folder, as cric and cric-3 are."""
    cards = [entry.offer for _, entry in plugins.datasets.items() if entry.name == dataset]
    return card.name == dataset or any(known.below(Path()) == card.below(Path()) for known in cards)


def _sources(home: str) -> list[bytes]:
    """The source files of a package or a module; none where it has none, as a notebook."""
    try:
        spec = find_spec(home)
    except ValueError:  # what is run as a script, or made in memory
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        folders = map(Path, spec.submodule_search_locations)
        return [path.read_bytes() for folder in folders for path in sorted(folder.rglob("*.py"))]
    return [Path(spec.origin).read_bytes()] if spec.origin and Path(spec.origin).is_file() else []


def _written(learner: Any) -> list[bytes]:
    """The source of each function of a class that was typed into a notebook."""
    written = []
    for function in filter(inspect.isfunction, vars(learner).values()) if inspect.isclass(learner) else ():
        with suppress(OSError):
            written.append(inspect.getsource(function).encode())
    return written
