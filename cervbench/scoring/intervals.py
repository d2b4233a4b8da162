"""How far a score would move with other groups, label draws and pretraining seeds: see docs/intervals.md.

Each group is left out in turn within its fold (the stratified jackknife), draws and seeds are crossed with
the groups, and the quantile is Student's. An interval is conditional on the training groups and, where there
is a single seed or a single draw, on that one. Nothing is drawn at random.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cervbench.scoring.metrics import METRICS
from cervbench.scoring.pooling import Pooled, metric_of_weights
from cervbench.scoring.tally import Floats, Ints

LEVEL = 0.95
IMMOBILE = 1e-12
"""A standard error below this is rounding: the figure cannot move, as if every answer were the same."""


@dataclass(frozen=True, eq=False)
class Design:
    """What an interval needs to know about the test images: the same for every method on these folds."""

    units: Ints
    """The group of each image, 0 … groups - 1."""
    folds: Ints
    """The fold of each group."""

    @cached_property
    def weights(self) -> Floats:
        """A row for all groups; then one for each left out, the others of its fold standing in for it."""
        in_fold = self.folds[:, None] == self.folds
        size = in_fold.sum(axis=1)
        stand_in = np.where(in_fold, (size / np.maximum(size - 1, 1))[:, None], 1.0)
        return np.vstack([np.ones(len(size)), stand_in * (1 - np.eye(len(size)))])


@dataclass(frozen=True)
class Estimate:
    """A figure, its standard error, and the degrees of freedom of that error."""

    value: float
    error: float
    freedom: float

    @property
    def reach(self) -> float:
        """Half the width of the interval, in units of the figure."""
        from scipy.special import stdtrit  # heavy to import, and not needed to score a record

        return float(stdtrit(self.freedom, (1 + LEVEL) / 2)) * self.error


def interval(values: Floats, folds: Ints, metric: str) -> tuple[float, float] | None:
    """Where the expected score lies for new groups, seeds and draws, the training images being as they were.

    `values` are the replicates of the metric, `folds` the fold of each group. A single seed, or a single
    draw, stands for itself: nothing is then said about others. None where the data cannot say: a fold with a
    single group, a metric that is undefined or would be without one of the groups, a score that is at the
    very end of its range or cannot move.
    """
    found = estimate(values, folds)
    if found is None or found.error < IMMOBILE:
        return None
    from scipy.special import expit

    reach, bounds = found.reach, METRICS[metric].bounds
    if bounds is None:
        return found.value - reach, found.value + reach
    low, high = bounds
    if not low < found.value < high:
        return None
    # On the logit scale: the ends are out of reach there, and the error is nearly symmetric.
    logit = np.log((found.value - low) / (high - found.value))
    step = reach * (high - low) / ((found.value - low) * (high - found.value))
    return low + (high - low) * float(expit(logit - step)), low + (high - low) * float(expit(logit + step))


def design(pooled: Pooled) -> Design:
    """The groups of the test images and their folds."""
    _, first, units = np.unique(pooled.groups, return_index=True, return_inverse=True)
    return Design(units, pooled.folds[first])


def replicates(pooled: Pooled, plan: Design, metric: str) -> Floats:
    """(1 + groups) × seeds × draws: the metric of all groups, and with each left out."""
    values = metric_of_weights(pooled, metric, plan.units, len(plan.folds))(plan.weights)
    return values.reshape(len(values), pooled.seeds, -1)


def estimate(values: Floats, folds: Ints) -> Estimate | None:
    """The mean over seeds and draws and its error, from replicates of a metric or of a difference of two.

    `values` are (1 + groups) × levels of a factor × levels of another … Groups and factors are crossed.
    Var = V_groups + Σ max(0, V_factor − V_both), over the factors that have more than one level: V_groups
    already includes what a factor shares with the groups, and V_both measures that, by how much more groups
    scatter at a single level than in the mean of all. What two factors share is counted with both. Degrees
    of freedom are Satterthwaite's, with a floor of min(groups − folds, levels − 1): his formula is for sums,
    and can fall below that once a term is subtracted.
    """
    whole, left_out = values[0], values[1:]
    _, of_fold, sizes = np.unique(folds, return_inverse=True, return_counts=True)
    if np.isnan(values).any() or (sizes < 2).any():
        return None
    fewest = free_groups = float(len(folds) - len(sizes))
    all_and_levels = [left_out.reshape(len(left_out), -1).mean(axis=1, keepdims=True)]
    factors = [factor for factor, levels in enumerate(whole.shape) if levels > 1]
    all_and_levels += [_by_level(left_out, 1 + factor) for factor in factors]
    of_groups, *of_levels = _variances(np.hstack(all_and_levels), of_fold, sizes).tolist()
    variance, spread = of_groups, of_groups**2 / free_groups
    for factor in factors:
        levels = whole.shape[factor]
        of_factor = float(_by_level(whole[None], 1 + factor).var(ddof=1)) / levels
        of_both = (float(np.mean(of_levels[:levels])) - of_groups) / (levels - 1)
        variance += max(0.0, of_factor - of_both)
        spread += of_factor**2 / (levels - 1)
        fewest, of_levels = min(fewest, levels - 1), of_levels[levels:]
    freedom = max(variance**2 / spread, fewest) if variance > 0 else free_groups
    return Estimate(float(whole.mean()), float(np.sqrt(variance)), freedom)


def _by_level(values: Floats, factor: int) -> Floats:
    """rows × levels: the mean over all other factors."""
    apart = np.moveaxis(values, factor, 1)
    means: Floats = apart.reshape(*apart.shape[:2], -1).mean(axis=2)
    return means


def _variances(left_out: Floats, of_fold: Ints, sizes: Ints) -> Floats:
    """The jackknife variance of each column, stratified by fold."""
    in_fold = np.eye(len(sizes))[of_fold]
    off_the_mean = left_out - ((in_fold.T @ left_out) / sizes[:, None])[of_fold]
    return ((sizes - 1) / sizes)[of_fold] @ off_the_mean**2
