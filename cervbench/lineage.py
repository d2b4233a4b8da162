"""Where weights and records are from: which run and which code made them, and who is to be told."""

import hashlib
import inspect
import json
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


def header(run: Run, methods: Sequence[Entry[Offer]], init: str) -> dict[str, str]:
    """For the weights of a run of these methods, which began from `init`."""
    from cervbench.training.weight_file import BEFORE, CODE, RUN

    told = {RUN: run.model_dump_json(), CODE: code_of(methods)}
    before = _told_of(Path(init)) if run.init.startswith("file:") else []
    return {**told, BEFORE: json.dumps(before)} if before else told


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
    older = [
        record
        for record in records
        if {record.observed.get("code", code), record.observed.get("pretext_code") or code} != {code}
    ]
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
    told = _told_of(Path(init))
    if len(_runs(told)) < len(told):
        logging.getLogger("cervbench").warning(
            "%s has a run behind it that another version of cervbench wrote down, which cannot be read here: "
            "whether it has seen images that are tested cannot be told",
            init,
        )
    for dataset, seen in trained_on(init, card, plugins):
        if others := [fold for fold in folds if fold != seen]:
            logging.getLogger("cervbench").warning(
                "%s was trained on fold %s of %s. Images that fold %s of %s tests were among those it was "
                "trained on, so that scores there may be too high: take weights of the same fold",
                init,
                seen,
                dataset,
                ", ".join(map(str, others)),
                card.name,
            )


def trained_on(init: str, card: Card, plugins: Plugins) -> list[tuple[str, int]]:
    """The datasets, with a fold of each, whose images a file of weights was trained on and this card has."""
    trained = [run for run in _runs(_told_of(Path(init))) if run.method.pretext]
    seen = dict.fromkeys((run.dataset.name, run.fold) for run in trained)
    return [(dataset, fold) for dataset, fold in seen if _has_images_of(card, dataset, plugins)]


def _runs(told: Sequence[str]) -> list[Run]:
    """Those that can be read here."""
    runs = []
    for one in told:
        with suppress(ValueError):
            runs.append(Run.model_validate_json(one))
    return runs


def _told_of(weights: Path) -> list[str]:
    """The runs behind a file as JSON, the last first; an empty word stands for what cannot be read."""
    from cervbench.training.weight_file import BEFORE, RUN, header_of

    told = header_of(weights)
    try:
        before = json.loads(told.get(BEFORE, "[]"))
    except (TypeError, ValueError):
        before = None
    return [told[RUN], *(before if isinstance(before, list) else [""])] if RUN in told else []


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
