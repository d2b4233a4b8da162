"""The figures on a page, computed from stored predictions and from nothing else, and remembered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from cervbench.leaderboard.cache import Cache
from cervbench.leaderboard.rows import Row
from cervbench.records.store import RecordError, Store
from cervbench.records.verify import columns_as_recorded
from cervbench.scoring.classification import HEADLINE, mean_or_none
from cervbench.scoring.comparison import best
from cervbench.scoring.intervals import interval
from cervbench.scoring.pooling import Pooled, class_groups, only, pool, valued
from cervbench.scoring.task import Task

AUC = "abnormal_auc"
FEWEST_GROUPS = 20
"""A class-wise figure from fewer groups bears no interval."""


class Figure(NamedTuple):
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Cell:
    """One row at one ratio, over all folds that it has."""

    figures: Mapping[str, Figure]
    """By metric."""
    images: int
    groups: int
    draws: int
    fewest: Mapping[str, int]
    """The fewest test images that a fold has, by class."""
    fewest_groups: int
    """Of a fold."""

    def value(self, metric: str) -> float | None:
        return self.figures[metric].value


@dataclass(frozen=True)
class ClassFigures:
    """Recall of one class on the predictions pooled over folds."""

    recall: Figure
    images: int
    groups: int


@dataclass
class Figures:
    """Computes cells of rows; what was computed once is found again by the hashes of the predictions."""

    store: Store
    cache: Cache
    _pooled: dict[tuple[str, ...], Pooled] = field(default_factory=dict)

    def cell(self, row: Row, ratio: int) -> Cell:
        found = self.cache.of("cell", *_described(row, ratio), compute=lambda: self._cell(row, ratio))
        figures = {metric: Figure(*figure) for metric, figure in found.pop("figures").items()}
        return Cell(figures=figures, **found)

    def classes(self, row: Row, ratio: int) -> dict[str, ClassFigures]:
        """By class; without an interval where the class is in too few groups."""
        found = self.cache.of("classes", *_described(row, ratio), compute=lambda: self._classes(row, ratio))
        return {
            name: ClassFigures(Figure(*recall), images, groups)
            for name, (recall, images, groups) in found.items()
        }

    def best(self, rows: Mapping[str, Row], ratio: int, metric: str) -> frozenset[str]:
        """The names of the best row, and of all that the paired test does not tell from it."""
        if any(self.cell(row, ratio).fewest_groups < 2 for row in rows.values()) or not rows:
            return frozenset()
        task = next(iter(rows.values())).task
        described = [_described(row, ratio) for row in rows.values()]

        def compute() -> list[int]:
            pooled = {str(place): self._pool(row, ratio) for place, row in enumerate(rows.values())}
            try:
                return sorted(int(place) for place in best(pooled, task, metric))
            except ValueError as error:
                raise RecordError(f"{' and '.join(rows)} at {ratio} % cannot be compared: {error}") from None

        places = self.cache.of("best", metric, described, compute=compute)
        return frozenset(name for place, name in enumerate(rows) if place in places)

    def forget(self) -> None:
        """Let go of the predictions of a column when it is done."""
        self._pooled.clear()

    def _cell(self, row: Row, ratio: int) -> dict[str, Any]:
        pooled, task = self._pool(row, ratio), row.task
        per_fold = [only(pooled, pooled.folds == fold) for fold in np.unique(pooled.folds)]
        return {
            "figures": {name: _figure(pooled, task, name) for name in metrics_of(task)},
            "images": len(pooled.labels),
            "groups": len(np.unique(pooled.groups)),
            "draws": len(pooled.probabilities),
            "fewest": {
                name: min(int((fold.labels == k).sum()) for fold in per_fold)
                for k, name in enumerate(task.classes)
            },
            "fewest_groups": min(len(np.unique(fold.groups)) for fold in per_fold),
        }

    def _classes(self, row: Row, ratio: int) -> dict[str, Any]:
        pooled, task = self._pool(row, ratio), row.task
        groups = class_groups(pooled, task)
        found = {}
        for k, name in enumerate(task.classes):
            own = only(pooled, pooled.labels == k)
            # within one class, recall is accuracy
            recall = _figure(own, task, "accuracy", with_interval=groups[name] >= FEWEST_GROUPS)
            found[name] = (recall, len(own.labels), groups[name])
        return found

    def _pool(self, row: Row, ratio: int) -> Pooled:
        entries = row.entries[ratio]
        key = tuple(entry.id for entry in entries.values())
        if key not in self._pooled:
            variant = row.sample.run.dataset.variant
            tables = [
                columns_as_recorded(self.store, variant, entry.id, entry.predictions)
                for entry in entries.values()
            ]
            try:
                self._pooled[key] = pool(tables, list(entries), row.task)
            except ValueError as error:
                raise RecordError(
                    f"records {', '.join(key)} of {variant} cannot be pooled: {error}"
                ) from None
        return self._pooled[key]


def metrics_of(task: Task) -> tuple[str, ...]:
    """What is shown: the headline, and the second figure where some classes are abnormal."""
    return (HEADLINE, AUC) if task.abnormal else (HEADLINE,)


def _figure(pooled: Pooled, task: Task, metric: str, with_interval: bool = True) -> Figure:
    everything, once = np.zeros(len(pooled.labels), dtype=np.int64), np.ones(1)
    value = mean_or_none(valued(pooled, metric, everything, 1, task)(once))
    if value is None or not with_interval:
        return Figure(value)
    return Figure(value, *(interval(pooled, task, metric) or (None, None)))


def _described(row: Row, ratio: int) -> Sequence[Any]:
    """What a figure of this row is a function of."""
    hashes = sorted((fold, entry.predictions) for fold, entry in row.entries[ratio].items())
    return [row.task.model_dump(mode="json"), hashes]
