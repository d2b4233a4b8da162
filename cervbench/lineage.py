"""Where weights are from: a run says it in their header, where it can be read, in a copy too."""

import hashlib
import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from cervbench.data.cards.card import Card
from cervbench.plugin.catalog import Entry
from cervbench.plugin.manager import Plugins
from cervbench.plugin.offers import Offer
from cervbench.records.record import Run


def header(run: Run, methods: Sequence[Entry[Offer]]) -> dict[str, str]:
    """For the weights of a run of these methods."""
    from cervbench.training.weight_file import CODE, RUN

    return {RUN: run.model_dump_json(), CODE: _code_of(methods)}


def warn_of_tests_seen(init: str, card: Card, folds: Sequence[int], plugins: Plugins) -> None:
    """A fold tests what another trains on."""
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
        return Run.model_validate_json(header_of(weights)[RUN])
    except (KeyError, ValueError):
        return None


def _has_images_of(card: Card, dataset: str, plugins: Plugins) -> bool:
    """Whether both are read from one folder, as cric and cric-3 are."""
    cards = [entry.offer for _, entry in plugins.datasets.items() if entry.name == dataset]
    return card.name == dataset or any(known.below(Path()) == card.below(Path()) for known in cards)


def _code_of(methods: Sequence[Entry[Offer]]) -> str:
    """A hash of the sources of their packages. The core is left out: it has its training rules."""
    code = hashlib.sha256()
    for method in methods:
        home = method.offer.load().__module__.partition(".")[0]
        for path in [] if home == "cervbench" else _sources(home):
            code.update(path.read_bytes())
    return code.hexdigest()[:16]


def _sources(home: str) -> list[Path]:
    """Of a package or a module; none where it has no file, as a notebook has none."""
    try:
        spec = find_spec(home)
    except ValueError:  # what is run as a script, or made in memory
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        folders = map(Path, spec.submodule_search_locations)
        return [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return [Path(spec.origin)] if spec.origin and Path(spec.origin).is_file() else []
