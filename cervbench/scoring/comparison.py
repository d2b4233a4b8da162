"""Tests whether one method is better than another, by their difference paired by group and draw."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cervbench.scoring.intervals import estimate
from cervbench.scoring.metrics import METRICS
from cervbench.scoring.pooling import Pooled, listed
from cervbench.scoring.tally import Floats, Ints

SIGNIFICANCE = 0.05


class Difference(NamedTuple):
    """`a` minus `b`, the interval of that, and how often chance alone would make a difference as large.

    All four are None where nothing can be said. `p` is not corrected for other differences.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None


def compare(a: Floats, b: Floats, folds: Ints) -> Difference:
    """The paired test, from the replicates of two methods and the fold of each group.

    Both were tested alike (`refuse_unpaired`): the same groups are left out of both, and draws are paired by
    their number. Nothing can be said if the metric is undefined for some group, draw or seed, or if a fold
    has a single group.
    """
    from scipy.special import stdtr  # heavy to import, and not needed to score a record

    found = estimate(a - b, folds)
    if found is None:
        return Difference()
    if found.error == 0:
        p = 1.0 if found.value == 0 else 0.0
    else:
        p = float(2 * stdtr(found.freedom, -abs(found.value) / found.error))
    return Difference(found.value, found.value - found.reach, found.value + found.reach, p)


def best_of(values: Mapping[str, Floats], folds: Ints, metric: str) -> set[str]:
    """The names to print in bold: the best, and all that Holm's test over the column cannot tell from it.

    `values` are the replicates of rows that were tested alike, `folds` the fold of each group. A row whose
    metric is undefined is never in bold. ValueError if a fold has a single group: no test can be made then.
    """
    means = {name: own[0].mean() for name, own in values.items() if not np.isnan(own).any()}
    if not means:
        return set()
    top = (min if METRICS[metric].lower_is_better else max)(means, key=lambda name: means[name])
    others = [name for name in means if name != top]
    p_values = [p for name in others if (p := compare(values[top], values[name], folds).p) is not None]
    if len(p_values) < len(others):
        raise ValueError("a fold has a single group: the rows cannot be compared")
    return {top} | {name for name, p in zip(others, holm(p_values), strict=True) if p > SIGNIFICANCE}


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, in the order given."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return [float(value) for value in adjusted]


def refuse_unpaired(a: Pooled, b: Pooled) -> None:
    """Raise a ValueError that says in what the two were not tested alike."""
    if a.task != b.task:
        raise ValueError("the two are of two tasks: other classes, or another order of them")
    if not a.task.groups_known:
        raise ValueError("the groups of this dataset are not known: no test can be made on its images")
    if len(a.images) != len(b.images) or (a.images != b.images).any():
        apart = sorted(set(a.images.tolist()) ^ set(b.images.tolist()))
        told = f"{len(apart)} images are in one of them only, {apart[0]} for one" if apart else "other folds"
        raise ValueError(f"only what was tested on the same images and folds can be compared: {told}")
    for what, own, other in (
        ("folds", a.folds, b.folds),
        ("groups", a.groups, b.groups),
        ("labels", a.labels, b.labels),
    ):
        if (own != other).any():
            raise ValueError(f"the {what} of the same images differ: these are not of one manifest")
    if a.draws != b.draws:
        raise ValueError(
            f"one has the draws {listed(a.draws)}, the other {listed(b.draws)}: compare records of one "
            "evaluation and ratio"
        )
