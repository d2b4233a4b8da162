"""Puts the folds of one method together, every test image once per draw, and computes metrics on that."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from cervbench.plugin.evaluation import Columns
from cervbench.scoring.metrics import METRICS
from cervbench.scoring.predictions import Layout, read_predictions
from cervbench.scoring.tally import Floats, Ints, Rows
from cervbench.scoring.task import Task


@dataclass(frozen=True)
class Pooled:
    """Test predictions of several folds, each image once per draw, ordered by fold and then by image."""

    task: Task
    images: NDArray[np.str_]
    groups: NDArray[np.str_]
    folds: Ints
    labels: Ints
    """Index into the task's classes."""
    draws: tuple[int, ...]
    """The numbers of the draws."""
    probabilities: Floats
    """(seeds × draws) × images × classes."""
    seeds: int = 1
    """How many pretraining seeds, all of them with the same draws."""

    @property
    def as_one(self) -> Ints:
        """The unit of each image where all are weighed as one."""
        return np.zeros(len(self.labels), dtype=np.int64)

    def rows(self, units: Ints, unit_count: int) -> Rows:
        return Rows(self.labels, self.probabilities, units, unit_count, self.task)

    def subset(self, rows: NDArray[np.bool_] | Ints) -> "Pooled":
        """The images that `rows` picks, as a mask or as row numbers."""
        return replace(
            self,
            images=self.images[rows],
            groups=self.groups[rows],
            folds=self.folds[rows],
            labels=self.labels[rows],
            probabilities=self.probabilities[:, rows],
        )


def pool(tables: Sequence[Columns], folds: Sequence[int], task: Task) -> Pooled:
    """The stored tables of one method, one per fold, as one; ValueError if they do not fit together."""
    parts = [read_predictions(columns, task) for columns in tables]
    if len(set(folds)) != len(folds) or len(folds) != len(parts) or not parts:
        raise ValueError(
            f"pooling takes one table a fold, and was given {len(parts)} for folds {list(folds)}"
        )
    draws = parts[0].layout.draws
    if any(part.layout.draws != draws for part in parts):
        told = "; ".join(f"fold {f}: {listed(p.layout.draws)}" for f, p in zip(folds, parts, strict=True))
        raise ValueError(f"the folds have different draws ({told}): they are not of one protocol")
    order = np.argsort(folds)
    layouts = tuple(parts[place].layout for place in order)
    images, groups, of_fold, labels = _together(layouts, tuple(sorted(folds)), task.groups_known)
    probabilities = np.concatenate([parts[place].probabilities for place in order], axis=1)
    return Pooled(task, images, groups, of_fold, labels, draws, probabilities)


def together(of_seeds: Sequence[Pooled]) -> Pooled:
    """The seeds of one method as one; ValueError if they were not tested on the same images and draws."""
    first, *others = of_seeds
    for other in others:
        if first.draws != other.draws or not all(
            np.array_equal(getattr(first, name), getattr(other, name))
            for name in ("images", "groups", "folds", "labels")
        ):
            raise ValueError("the seeds were tested on different images, groups, folds, labels or draws")
    probabilities = np.concatenate([pooled.probabilities for pooled in of_seeds])
    return replace(first, probabilities=probabilities, seeds=sum(pooled.seeds for pooled in of_seeds))


def listed(draws: Sequence[int]) -> str:
    return ", ".join(map(str, draws))


@lru_cache(64)
def _together(
    layouts: tuple[Layout, ...], folds: tuple[int, ...], groups_known: bool
) -> tuple[NDArray[np.str_], NDArray[np.str_], Ints, Ints]:
    """Images, groups, folds and labels; ValueError if an image or a group is in two folds."""
    images = np.concatenate([layout.images for layout in layouts])
    groups = np.concatenate([layout.groups for layout in layouts])
    of_fold = np.repeat(folds, [len(layout.images) for layout in layouts])
    names, times = np.unique(images, return_counts=True)
    if (times > 1).any():
        raise ValueError(
            f"image {names[times > 1][0]} is tested in two folds: these are not folds of one deal"
        )
    if groups_known:
        pairs = set(zip(groups.tolist(), of_fold.tolist(), strict=True))
        if len(pairs) > len({group for group, _ in pairs}):
            raise ValueError("a group is tested in two folds: these are not folds of one deal")
    return images, groups, of_fold, np.concatenate([layout.labels for layout in layouts])


def value(pooled: Pooled, metric: str) -> float | None:
    """The mean over seeds and draws, of counts pooled over all folds or of a score averaged over folds."""
    return mean_of_seeds(values(pooled, metric))


def values(pooled: Pooled, metric: str) -> Floats:
    """Seeds × draws, each of counts pooled over all folds or of a score averaged over folds."""
    flat = metric_of_weights(pooled, metric, pooled.as_one, 1)(np.ones(1))
    return flat.reshape(pooled.seeds, -1)


def means_by_seed(values: Floats) -> list[float | None]:
    """Of seeds × draws, the mean over the draws that are defined; None where a seed has none."""
    return [mean_or_none(own) for own in values]


def mean_of_seeds(values: Floats) -> float | None:
    """Of seeds × draws; None if a seed has no defined value, since to leave it out might flatter."""
    means = means_by_seed(values)
    known = [mean for mean in means if mean is not None]
    return fmean(known) if len(known) == len(means) else None


def mean_or_none(values: Floats) -> float | None:
    """The mean of the defined values as a plain float; None if there are none."""
    defined = np.asarray(values)[~np.isnan(values)]
    return float(defined.mean()) if defined.size else None


def metric_of_weights(
    pooled: Pooled, metric: str, units: Ints, unit_count: int
) -> Callable[[Floats], Floats]:
    """A function from weights, … × units, to one metric, … × (seeds × draws), by the rule for several folds.

    A mean over folds is over those where the metric is defined with nothing left out. It is NaN for weights
    that leave the metric undefined in one of these.
    """
    if metric not in METRICS:
        raise ValueError(f"there is no metric {metric!r}; there are {', '.join(METRICS)}")
    definition = METRICS[metric]
    if not definition.per_fold:
        return definition.tally(pooled.rows(units, unit_count))
    per_fold = []
    for fold in np.unique(pooled.folds):
        part = pooled.subset(pooled.folds == fold)
        used, within = np.unique(units[pooled.folds == fold], return_inverse=True)
        tallied = definition.tally(part.rows(within, len(used)))
        if not np.isnan(tallied(np.ones(len(used)))).any():
            per_fold.append((used, tallied))
    if not per_fold:
        return lambda weights: np.full((*weights.shape[:-1], len(pooled.probabilities)), np.nan)

    def of_weights(weights: Floats) -> Floats:
        mean: Floats = np.mean([tallied(weights[..., used]) for used, tallied in per_fold], axis=0)
        return mean

    return of_weights


def class_groups(pooled: Pooled) -> dict[str, int]:
    """How many groups hold images of each class; below 20 a class-wise figure has no interval."""
    classes = enumerate(pooled.task.classes)
    return {name: len(np.unique(pooled.groups[pooled.labels == k])) for k, name in classes}
