"""Rescoring: recomputes everything in a record that can be, and names whatever differs."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cervbench.plugin.calling import call
from cervbench.plugin.manager import Plugins
from cervbench.plugin.offers import CLASSIFICATION_SCHEMA, imported
from cervbench.plugin.problems import in_words
from cervbench.plugin.settings import SettingsError
from cervbench.protocol import protocol
from cervbench.records.fold_claims import fold_differences, known_folds
from cervbench.records.record import EvaluationOfRecord, Record
from cervbench.records.store import RecordError, Store, parse_record, read_bytes
from cervbench.records.table import content_hash, to_columns
from cervbench.scoring.classification import classification, revision_of_scores

TOLERANCE = 1e-9


class Verdict(NamedTuple):
    """What was found of a record; all is empty where everything in it follows from its predictions."""

    differing: list[str]
    """What is not as it was recomputed."""
    unscored: str = ""
    """Why its scores cannot be recomputed here."""
    on_trust: str = ""
    """What could not be checked, of a record in which nothing differs."""

    @property
    def problems(self) -> list[str]:
        """What keeps it from being accepted."""
        return [*self.differing, self.unscored] if self.unscored else self.differing


def verify_file(path: Path, plugins: Plugins | None = None) -> Verdict:
    """Recomputes the record at a path `<out>/records/<variant>/<id>.json`.

    The score of an evaluation with a schema of its own is looked up in `plugins`.
    """
    try:
        store, record = Store.holding(path), parse_record(path, read_bytes(path))
    except RecordError as error:
        return Verdict([str(error)])
    path = path.absolute()
    problems = []
    if path.stem != record.id:
        problems.append(f"id: stored {path.stem} (the file's name), recomputed {record.id}")
    if path.parent.name != record.run.dataset.variant:
        problems.append(f"variant: stored {record.run.dataset.variant}, in the folder {path.parent.name}")
    try:
        rules = protocol.load(record.run.protocol.tier, version=record.run.protocol.version)
    except SettingsError as error:
        return Verdict([*problems, f"run.protocol: {error}"])
    problems += _off_protocol(record, rules)
    try:
        table = store.table(path.parent.name, path.stem)
    except RecordError as error:
        return Verdict([*problems, str(error)])
    recomputed = {"hash": content_hash(table), "rows": len(table)}
    if recomputed["hash"] != record.predictions.hash:
        problems.append("predictions: not the table that was scored; what differs below may differ for that")
    problems += differences("predictions", record.predictions.model_dump(), recomputed)
    columns = to_columns(table)
    try:
        folds = known_folds(record, store.folds(record.run.dataset.manifest))
    except RecordError as error:
        return Verdict([*problems, str(error)])
    unscored = _outdated(record, store) or _unscored(record, plugins)
    try:
        problems += _chosen_draws(record, columns, rules)
        problems += fold_differences(record, columns, rules, folds)
        scores = record.scores if unscored else score_again(record, columns, plugins)
    except Exception as error:  # a plugin's score may fail in any way, and so may an edited table
        return Verdict([*problems, f"it cannot be scored again: {in_words(error)}"])
    problems += differences("scores", record.scores, scores)
    # The seal says that something was changed but not what, so it is mentioned only if nothing else is.
    problems = problems or list(differences("seal", record.seal, record.seal_of_content()))
    on_trust = ""
    if folds is None and not problems:
        lacking = f"{store.root}/folds/{record.run.dataset.manifest}.csv"
        on_trust = f"images, groups and labels are taken on trust: there is no {lacking}"
    return Verdict(problems, unscored, on_trust)


def score_again(record: Record, columns: Mapping[str, np.ndarray], plugins: Plugins | None) -> dict[str, Any]:
    """The scores of its predictions by today's definitions, as they are after a round trip through JSON."""
    score = _score(record.evaluation, plugins)
    scores: dict[str, Any] = json.loads(json.dumps(call(score, columns=columns, task=record.task)))
    return scores


def differences(where: str, stored: Any, recomputed: Any) -> Iterator[str]:
    """One line for every value that differs; numbers are the same within 1e-9 of their size."""
    if isinstance(stored, dict) and isinstance(recomputed, dict):
        for key in [*recomputed, *(key for key in stored if key not in recomputed)]:
            yield from differences(f"{where}.{key}", stored.get(key, _Absent), recomputed.get(key, _Absent))
    elif isinstance(stored, list) and isinstance(recomputed, list) and len(stored) == len(recomputed):
        for place, pair in enumerate(zip(stored, recomputed, strict=True)):
            yield from differences(f"{where}[{place}]", *pair)
    elif not _same(stored, recomputed):
        yield f"{where}: stored {_shown(stored)}, recomputed {_shown(recomputed)}"


class _Absent:
    """Stands for the value that one of the two does not have."""


def _same(stored: Any, recomputed: Any) -> bool:
    if type(stored) in (int, float) and type(recomputed) in (int, float):
        return math.isclose(stored, recomputed, rel_tol=TOLERANCE, abs_tol=1e-12)
    return type(stored) is type(recomputed) and bool(stored == recomputed)


def _shown(value: Any) -> str:
    return "nothing" if value is _Absent else repr(value)


def _score(evaluation: EvaluationOfRecord, plugins: Plugins | None) -> Callable[..., dict[str, Any]]:
    """The core's own score for its own schema; for another, that of the evaluation's package."""
    if evaluation.schema_ == CLASSIFICATION_SCHEMA:
        return classification
    assert plugins is not None
    offer = plugins.evaluations.get(f"{evaluation.package}:{evaluation.name}").offer
    scored: Callable[..., dict[str, Any]] = imported(offer.score)
    return scored


def _outdated(record: Record, store: Store) -> str:
    """That its scores are by older definitions; empty if they are not."""
    known = revision_of_scores(record.evaluation.schema_)
    if record.scoring == known:
        return ""
    return (
        f"its scores are by revision {record.scoring} of the metrics, and this cervbench has {known}: give "
        "the command that made it again, which then only scores it anew, or run scripts/rescore.py "
        f"{store.root}"
    )


def _unscored(record: Record, plugins: Plugins | None) -> str:
    """Why its scores cannot be recomputed here: their package is missing. Empty if they can."""
    evaluation = record.evaluation
    if evaluation.schema_ == CLASSIFICATION_SCHEMA:
        return ""
    if plugins is not None and f"{evaluation.package}:{evaluation.name}" in plugins.evaluations:
        return ""
    versions = record.observed.get("versions")
    version = versions.get(evaluation.package, "") if isinstance(versions, Mapping) else ""
    return (
        f"its scores cannot be recomputed here: tables of schema {evaluation.schema_!r} are scored by "
        f"package {evaluation.package!r}, which offers no evaluation {evaluation.name!r} here; install "
        f"{f'{evaluation.package} {version}'.strip()} and verify again (if it is installed, cervbench list "
        "plugins says what is wrong with it)"
    )


def _chosen_draws(
    record: Record, columns: Mapping[str, np.ndarray], rules: protocol.Protocol
) -> Iterator[str]:
    """A line if the draws are not the protocol's, of which the settings may ask for the first few only."""
    count = rules.labels.draws_at(record.ratio, record.evaluation.settings.get("draws"))
    if (stored := np.unique(columns["draw"]).tolist()) != list(range(count)):
        yield f"draws: stored {stored}, by the protocol {list(range(count))}"


def _off_protocol(record: Record, rules: protocol.Protocol) -> Iterator[str]:
    """Numbers that differ from the protocol's, in a record that does not say that it is off protocol."""
    claimed = record.run.protocol
    if claimed.off:
        return
    fixed: list[tuple[str, Any, Any]] = [("image_size", claimed.image_size, rules.image_size)]
    if claimed.pretext is not None:
        fixed += [("pretext", claimed.pretext.model_dump(), rules.pretext.model_dump(mode="json"))]
    evaluation = record.evaluation
    if settings := rules.settings_of(evaluation.package, evaluation.name):
        fixed += [(evaluation.name, evaluation.settings, settings)]
    for key, stored, ruled in fixed:
        for difference in differences(key, stored, ruled):
            yield f"{difference} by the protocol, and the record says nothing of it"
