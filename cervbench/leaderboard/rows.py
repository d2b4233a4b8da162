"""Rows of a leaderboard: the records of one method under one evaluation, by ratio, fold and seed.

A record is checked once; the cache then knows it by its path and content.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Self

from cervbench.leaderboard.cache import Cache, in_batches, key_of_bytes
from cervbench.leaderboard.workers import ALONE, Workers
from cervbench.plugin.catalog import CORE
from cervbench.protocol.protocol import of_pretext
from cervbench.records.record import NO_BACKBONE, Record, digest
from cervbench.records.store import Store, read_bytes
from cervbench.scoring.task import Task
from cervbench.training.collapse import collapsed

PRETEXT_BUDGET = "pretext"
"""Stands in a contest for any changes to the protocol's pretext stages."""
_OBSERVED = (
    "chosen", "pretext_forwarded", "pretext_seconds", "pooling", "feature_rank", "feature_spread",
    "init_tests_seen", "code", "pretext_code",
)  # fmt: skip
_READ_AT_ONCE = 500


class Contest(NamedTuple):
    """What figures must share to be on one scale."""

    variant: str
    version: int
    rules: int
    tier: str
    off: tuple[str, ...]
    """Changes to the protocol. Those to the pretext stages count as one (`PRETEXT_BUDGET`): they change
    nothing in how a row is measured, and each row says its own."""
    manifest: str
    task: str
    evaluation: str
    """Its name, and a digest of package, revision and settings."""
    seeds: tuple[int, ...]
    """Of the pretraining: a figure is the mean over them."""


class TableKey(NamedTuple):
    contest: Contest
    backbone: str
    init: str

    @property
    def of_any_seed(self) -> "TableKey":
        return self._replace(contest=self.contest._replace(seeds=()))


class StoredRecord(NamedTuple):
    """What a cell needs to know of a record."""

    id: str
    predictions: str
    """The hash of their content."""
    train_labels: int
    val_labels: int


class CheckedRecord(NamedTuple):
    """What a row needs to know of a record that was read and found whole."""

    row: str
    """A digest that records share if they differ only in fold and ratio."""
    fold: int
    ratio: int
    stored: StoredRecord
    observed: Mapping[str, Any]
    devices: Sequence[str]

    @classmethod
    def from_json(cls, kept: Sequence[Any]) -> Self:
        row, fold, ratio, stored, observed, devices = kept
        return cls(row, fold, ratio, StoredRecord(*stored), observed, devices)


@dataclass(eq=False)
class Row:
    """One method, with one seed or over several (`over_seeds`)."""

    sample: Record
    seeds: tuple[int, ...]
    among: tuple[int, ...]
    """The seeds of the table that it stands in: its own, unless it is `seedless`."""
    records: dict[int, dict[int, tuple[StoredRecord, ...]]] = field(default_factory=lambda: defaultdict(dict))
    """By ratio, then by fold, one of each seed."""
    observed: dict[int, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    """By fold, what the records of each seed say of the pretraining."""
    devices: set[str] = field(default_factory=set)
    """All devices that any part was computed on, each with its precision."""

    @cached_property
    def key(self) -> TableKey:
        return TableKey(_contest(self.sample, self.among), self.sample.run.backbone, self.sample.run.init)

    @cached_property
    def method(self) -> str:
        """A digest that rows share if they differ only in the seeds."""
        run = self.sample.run.model_dump(mode="json", exclude={"fold", "seed"})
        return digest({"run": run, "contest": list(_contest(self.sample))})

    @property
    def start(self) -> tuple[str, str]:
        """Backbone and initialisation: what was there before any training."""
        return self.sample.run.backbone, self.sample.run.init

    @property
    def task(self) -> Task:
        return self.sample.task

    @property
    def folds(self) -> int:
        return self.sample.run.dataset.folds

    @property
    def baseline(self) -> bool:
        """It had no pretext stage."""
        return not self.sample.run.method.pretext

    @property
    def as_it_began(self) -> bool:
        """Its encoder is the one it began from: gains are over this row, so no other package may offer it."""
        method = self.sample.run.method
        return self.baseline and (method.package, method.name) == (CORE, "supervised")

    @property
    def seedless(self) -> bool:
        """It comes out the same with every seed: the core's references that hold no random weights."""
        run, evaluation = self.sample.run, self.sample.evaluation
        random = run.backbone != NO_BACKBONE and run.init == "random"
        return not (self.ranked or random) and {run.method.package, evaluation.package} == {CORE}

    @property
    def ranked(self) -> bool:
        return not (self.baseline and self.sample.evaluation.frozen)

    @property
    def trial(self) -> bool:
        """It is of the smoke tier or off protocol, and shown only if that is asked for."""
        rules = self.sample.run.protocol
        return bool(rules.off) or rules.tier == "smoke"

    @property
    def chosen(self) -> set[str]:
        """The settings that some record says were chosen, and not the defaults of their day."""
        said = (one.get("chosen") for seen in self.observed.values() for one in seen)
        return {name for names in said if isinstance(names, list) for name in names if isinstance(name, str)}

    @property
    def collapsed(self) -> list[int]:
        """The folds in which the method collapsed, with some seed: its vectors hardly tell images apart."""
        return sorted(fold for fold, seen in self.observed.items() if any(map(collapsed, seen)))

    @property
    def images_forwarded(self) -> float | None:
        """In its pretraining: the median over the folds and seeds that recorded it; None if it had none."""
        return self._observed_median("pretext_forwarded")

    @property
    def pretext_seconds(self) -> float | None:
        """How long its pretraining took, likewise."""
        return self._observed_median("pretext_seconds")

    def _observed_median(self, key: str) -> float | None:
        every = [one for seen in self.observed.values() for one in seen]
        known = [one[key] for one in every if isinstance(one.get(key), int | float)]
        return median(known) if known and not self.baseline else None

    @property
    def of_changed_code(self) -> bool:
        """The code of its method was edited between folds or seeds, so it is no row of one method."""
        every = [one for seen in self.observed.values() for one in seen]
        told = ([one.get(name) for one in every] for name in ("code", "pretext_code"))
        return any(len({code for code in codes if isinstance(code, str)}) > 1 for codes in told)

    @property
    def tests_seen(self) -> int | None:
        """How many of the images it is tested on its initial weights had been trained on; None if unknown."""
        told = [[one.get("init_tests_seen") for one in seen] for seen in self.observed.values()]
        known = [max(counts) for of_fold in told if (counts := [n for n in of_fold if type(n) is int])]
        return sum(known) if any(known) or len(known) == len(told) else None

    def complete(self, ratio: int) -> bool:
        return set(self.records.get(ratio, ())) == set(range(self.folds))

    def add(self, record: CheckedRecord) -> None:
        self.records[record.ratio][record.fold] = (record.stored,)
        self.observed[record.fold] = (record.observed,)
        self.devices.update(record.devices)


def gather(store: Store, paths: Sequence[Path], cache: Cache, workers: Workers = ALONE) -> list[Row]:
    """Rows of one seed each; RecordError if a record is not what its name and its seal say."""
    rows: dict[str, Row] = {}
    for some in in_batches(paths, _READ_AT_ONCE):
        for path, content, found in _read(store, some, cache, workers):
            if found.row not in rows:
                sample = store.record(path, content)
                rows[found.row] = Row(sample, (sample.run.seed,), (sample.run.seed,))
            rows[found.row].add(found)
    return list(rows.values())


def _read(
    store: Store, paths: Sequence[Path], cache: Cache, workers: Workers
) -> Iterator[tuple[Path, bytes, CheckedRecord]]:
    contents = [read_bytes(path) for path in paths]
    keys = [
        key_of_bytes(f"record {path.parent.name}/{path.name} ".encode() + content)
        for path, content in zip(paths, contents, strict=True)
    ]
    known = {key: CheckedRecord.from_json(kept) for key, kept in cache.known(keys).items()}
    unknown = [
        (store, path, content)
        for path, content, key in zip(paths, contents, keys, strict=True)
        if key not in known
    ]
    checked = workers.map(_checked, unknown, len(unknown))
    new = dict(zip([key for key in keys if key not in known], checked, strict=True))
    for path, content, key in zip(paths, contents, keys, strict=True):
        store.require_predictions(path.parent.name, path.stem)  # even if all figures are cached
        yield path, content, known.get(key) or new[key]
    cache.keep(new)


def _contest(record: Record, seeds: tuple[int, ...] = ()) -> Contest:
    run = record.run
    return Contest(
        variant=run.dataset.variant,
        version=run.protocol.version,
        rules=run.protocol.rules,
        tier=run.protocol.tier,
        off=_off_of_contest(run.protocol.off),
        manifest=run.dataset.manifest,
        task=digest(record.task.model_dump(mode="json")),
        evaluation=record.evaluation.name
        + " "
        + digest(record.evaluation.model_dump(mode="json", by_alias=True)),
        seeds=seeds,
    )


def _off_of_contest(off: Sequence[str]) -> tuple[str, ...]:
    others = tuple(change for change in off if not of_pretext(change))
    return others if len(others) == len(off) else (PRETEXT_BUDGET, *others)


def _checked(source: tuple[Store, Path, bytes]) -> CheckedRecord:
    store, path, content = source
    record = store.record(path, content)
    any_fold = record.run.model_dump(mode="json", exclude={"fold"})
    return CheckedRecord(
        row=digest({"run": any_fold, "contest": list(_contest(record))}),
        fold=record.run.fold,
        ratio=record.ratio,
        stored=StoredRecord(path.stem, record.predictions.hash, record.labels.train, record.labels.val),
        observed={name: record.observed[name] for name in _OBSERVED if name in record.observed},
        devices=tuple(_devices(record.observed)),
    )


def _devices(observed: Mapping[str, Any]) -> Iterator[str]:
    """The device of the evaluation, and that of the pretraining if it was done elsewhere."""
    for host in (observed, observed.get("pretext_host")):
        if isinstance(host, Mapping) and "device" in host:
            yield " ".join(str(host[name]) for name in ("device", "precision") if name in host)
