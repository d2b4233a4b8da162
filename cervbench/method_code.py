"""Detects that a method's code has changed since its records were made, by a hash of its sources.

A run's id covers what was asked for and not the code, so an author who edits a method and runs it again gets
the records of the older code. A warning says so.
"""

import hashlib
import inspect
import logging
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cervbench.error import first_few
from cervbench.plugin.catalog import CORE, Entry
from cervbench.plugin.offers import Offer
from cervbench.plugin.problems import home_of
from cervbench.records.record import Record


def code_hash(methods: Sequence[Entry[Offer]]) -> str:
    """A hash of the sources of their packages, read without importing them.

    The core is left out: a change there that matters raises the training rules (`cervbench.training.RULES`).
    """
    code = hashlib.sha256()
    for method in methods:
        learner = method.offer.method
        if (home := home_of(learner)) != CORE:
            for source in _sources(home) or _written(learner):
                code.update(source)
    return code.hexdigest()[:16]


def warn_of_records_of_other_code(records: Sequence[Record], code: str) -> None:
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
            first_few([record.id for record in older]),
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


def _written(learner: Any) -> list[bytes]:
    """The source of each function of a class typed into a notebook, as far as Python still has it."""
    written = []
    for function in filter(inspect.isfunction, vars(learner).values()) if inspect.isclass(learner) else ():
        with suppress(OSError):
            written.append(inspect.getsource(function).encode())
    return written
