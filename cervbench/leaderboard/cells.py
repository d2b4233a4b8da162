"""The figures of one row at one ratio, computed from stored predictions and from nothing else."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from cervbench.records.store import RecordError, Store
from cervbench.scoring.classification import HEADLINE
from cervbench.scoring.intervals import Design, design, interval, replicates
from cervbench.scoring.metrics import METRICS
from cervbench.scoring.pooling import (
    Pooled,
    class_groups,
    mean_of_seeds,
    means_by_seed,
    pool,
    together,
    value,
    values,
)
from cervbench.scoring.tally import Floats, Ints, confusion
from cervbench.scoring.task import Task

AUC = "abnormal_auc"
FEWEST_GROUPS = 20
"""A figure of one class that rests on fewer groups than this is given no interval."""


class Figure(NamedTuple):
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """One row at one ratio, over all the folds that it has."""

    figures: Mapping[str, Figure]
    """By metric."""
    by_seed: Mapping[str, Sequence[float | None]]
    """By metric, the means over draws of which a figure of several seeds is the mean."""
    images: int
    groups: int
    draws: int
    fewest: Mapping[str, int]
    """By class, how many test images the fold with the fewest of them has."""
    fewest_groups: int
    """How many groups the fold with the fewest of them tests."""
    tested: str
    """A hash of images, groups, folds, labels and draws; rows can be compared if they share it."""

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        figures = {metric: Figure(*figure) for metric, figure in kept["figures"].items()}
        return cls(**{**kept, "figures": figures})

    def value(self, metric: str) -> float | None:
        return self.figures[metric].value


class ClassFigures(NamedTuple):
    """The recall of one class, on predictions pooled over folds, and how much it rests on."""

    recall: Figure
    images: int
    groups: int


class Details(NamedTuple):
    """What is shown of a row only at the largest ratio of its table."""

    others: Mapping[str, Figure]
    """The metrics that are not in a cell."""
    classes: Mapping[str, ClassFigures]
    confusion: Sequence[Sequence[float]]
    """How many images of each class were taken for each: the mean over seeds and draws."""

    @classmethod
    def from_json(cls, kept: Sequence[Any]) -> Self:
        others, classes, confusion = kept
        return cls(
            {metric: Figure(*figure) for metric, figure in others.items()},
            {name: ClassFigures(Figure(*recall), *counts) for name, (recall, *counts) in classes.items()},
            confusion,
        )


@dataclass(frozen=True)
class Replicates:
    """The metrics of a row with each group left out in turn, which is what the paired test works on."""

    folds: Ints
    """The fold of each group."""
    values: Mapping[str, Floats]
    """By metric, what `scoring.intervals.replicates` gives of it."""

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        flat = {metric: np.frombuffer(base64.b64decode(text)) for metric, text in kept["values"].items()}
        return cls(np.array(kept["folds"]), {name: own.reshape(kept["shape"]) for name, own in flat.items()})

    def to_json(self) -> dict[str, Any]:
        text = {metric: base64.b64encode(own.tobytes()).decode() for metric, own in self.values.items()}
        [shape] = {own.shape for own in self.values.values()}
        return {"folds": self.folds.tolist(), "shape": shape, "values": text}


@dataclass(frozen=True)
class Source:
    """What the figures of a row at a ratio are computed from."""

    out: Path
    variant: str
    task: Task
    records: tuple[tuple[tuple[int, str, str], ...], ...]
    """By seed, the fold and id of each record, and the hash of its predictions."""
    in_full: bool
    """Also compute the details, which are shown only at a row's largest ratio."""


def metrics_of(task: Task) -> tuple[str, ...]:
    """The metrics with a table of their own: the headline, and the AUC if some classes are abnormal."""
    return tuple(name for name in (HEADLINE, AUC) if METRICS[name].applies(task))


def others_of(task: Task) -> tuple[str, ...]:
    """The other metrics that the task defines; they are shown only at the largest ratio."""
    shown = metrics_of(task)
    return tuple(name for name, metric in METRICS.items() if metric.applies(task) and name not in shown)


def computed(source: Source) -> dict[str, Any]:
    """As JSON: the `cell`, its `replicates` if groups are known, and, in full, the `details`."""
    pooled, task = pooled_from(source), source.task
    plan, found = design(pooled), dict[str, Any]()
    if task.groups_known:
        replicated = {metric: replicates(pooled, plan, metric) for metric in metrics_of(task)}
        found["replicates"] = Replicates(plan.folds, replicated).to_json()
        figures = {metric: _with_interval(own, plan.folds, metric) for metric, own in replicated.items()}
        measured = {metric: own[0] for metric, own in replicated.items()}
    else:
        measured = {metric: values(pooled, metric) for metric in metrics_of(task)}
        figures = {metric: Figure(mean_of_seeds(own)) for metric, own in measured.items()}
    by_seed = {metric: means_by_seed(own) for metric, own in measured.items()}
    if source.in_full:
        others = {metric: _figure(pooled, metric, plan) for metric in others_of(task)}
        [counts] = confusion(pooled.rows(pooled.as_one, 1))
        found["details"] = others, _classes(pooled), counts.mean(axis=0).tolist()
    return found | {"cell": {"figures": figures, "by_seed": by_seed} | _counts(pooled)}


def pooled_from(source: Source) -> Pooled:
    """RecordError if the predictions are not the recorded ones, or if their folds do not fit together."""
    store = Store(source.out)
    of_seeds = []
    try:
        for records in source.records:
            tables = [store.columns(source.variant, id, hash) for _, id, hash in records]
            of_seeds.append(pool(tables, [fold for fold, _, _ in records], source.task))
        return together(of_seeds)
    except ValueError as error:
        ids = ", ".join(id for records in source.records for _, id, _ in records)
        raise RecordError(f"records {ids} of {source.variant} cannot be pooled: {error}") from None


def _figure(pooled: Pooled, metric: str, plan: Design) -> Figure:
    """With an interval if groups are known."""
    if not pooled.task.groups_known:
        return Figure(value(pooled, metric))
    return _with_interval(replicates(pooled, plan, metric), plan.folds, metric)


def _with_interval(values: Floats, folds: Ints, metric: str) -> Figure:
    """The mean over seeds and draws, and its interval; None if a seed has the metric in no draw."""
    mean = mean_of_seeds(values[0])
    if mean is None:
        return Figure(None)
    return Figure(mean, *(interval(values, folds, metric) or (None, None)))


def _counts(pooled: Pooled) -> dict[str, Any]:
    task = pooled.task
    folds = [pooled.folds == fold for fold in np.unique(pooled.folds)]
    of_class = np.array([np.bincount(pooled.labels[fold], minlength=len(task.classes)) for fold in folds])
    tested = hashlib.sha256()
    for column in (pooled.images, pooled.groups, pooled.folds, pooled.labels, np.array(pooled.draws)):
        tested.update(f"{column.dtype} {len(column)}\n".encode() + column.tobytes())
    return {
        "images": len(pooled.labels),
        "groups": len(np.unique(pooled.groups)),
        "draws": len(pooled.draws),
        "fewest": dict(zip(task.classes, of_class.min(axis=0).tolist(), strict=True)),
        "fewest_groups": min(len(np.unique(pooled.groups[fold])) for fold in folds),
        "tested": tested.hexdigest()[:16],
    }


def _classes(pooled: Pooled) -> dict[str, Any]:
    """The recall of each class, without an interval if the class is in too few groups."""
    task, groups = pooled.task, class_groups(pooled)
    found = {}
    for k, name in enumerate(task.classes):
        own = pooled.subset(pooled.labels == k)
        # Among the images of one class, accuracy is the recall of that class.
        enough = groups[name] >= FEWEST_GROUPS
        recall = _figure(own, "accuracy", design(own)) if enough else Figure(value(own, "accuracy"))
        found[name] = (recall, len(own.labels), groups[name])
    return found
