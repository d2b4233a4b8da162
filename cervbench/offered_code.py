"""Detects that the code of what a package offers has changed since records were made, by a hash.

A record's id covers what was asked for and not the code, so an author who edits the code and runs it again
gets the records of the older code. A warning says so.
"""

import hashlib
import inspect
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cervbench.error import first_few
from cervbench.plugin.catalog import CORE
from cervbench.plugin.offers import BackboneOffer, EvaluationOffer, Offer
from cervbench.plugin.problems import home_of
from cervbench.records.record import Record


def code_hash(*offers: Offer | BackboneOffer | EvaluationOffer) -> str:
    """A hash of the sources of the packages that they name, read without importing them.

    The core is left out: a change there that matters raises the training rules (`cervbench.training.RULES`),
    or a revision.
    """
    code = hashlib.sha256()
    named = [getattr(offer, part) for offer in offers for part in offer.code]
    for target in filter(None, named):
        if (home := home_of(target)) != CORE:
            for source in _sources(home) or _written(target):
                code.update(source)
    return code.hexdigest()[:16]


def warn_of_records_of_other_code(
    records: Sequence[Record], code: str, of_evaluations: Mapping[tuple[str, str], str]
) -> None:
    """Warn of those that other code has made: of method, backbone, or evaluations by package and name."""
    older = [
        record
        for record in records
        if {record.observed.get("code", code), record.observed.get("pretext_code") or code} != {code}
    ]
    _warn(older, "this method, or of its backbone,", "Offer or BackboneOffer")
    for (package, name), own in of_evaluations.items():
        answered = [
            record
            for record in records
            if (record.evaluation.package, record.evaluation.name) == (package, name)
            and record.observed.get("evaluation_code", own) != own
        ]
        _warn(answered, f"evaluation {name}", "EvaluationOffer")


def _warn(older: Sequence[Record], changed: str, offer: str) -> None:
    if not older:
        return
    run = older[0].run
    logging.getLogger("cervbench").warning(
        "%s on %s, fold %s: the code of %s has changed since these records were made, and they are taken as "
        "they are: %s. Raise `revision` in its %s where the change is one of results: then all is made "
        "anew. To try something out, another --out and another CERVBENCH_CACHE do the same",
        run.method.name,
        run.dataset.variant,
        run.fold,
        changed,
        first_few([record.id for record in older]),
        offer,
    )


def _sources(home: str) -> list[bytes]:
    """The source files of a package or module; empty if it has none, as in a notebook."""
    try:
        spec = find_spec(home)
    except ValueError:  # the script that is running, or a module made in memory
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        folders = map(Path, spec.submodule_search_locations)
        return [path.read_bytes() for folder in folders for path in sorted(folder.rglob("*.py"))]
    return [Path(spec.origin).read_bytes()] if spec.origin and Path(spec.origin).is_file() else []


def _written(target: Any) -> list[bytes]:
    """The source of a function or of a class's functions, typed into a notebook, as far as Python has it."""
    written = []
    functions = vars(target).values() if inspect.isclass(target) else [target]
    for function in filter(inspect.isfunction, functions):
        with suppress(OSError):
            written.append(inspect.getsource(function).encode())
    return written
