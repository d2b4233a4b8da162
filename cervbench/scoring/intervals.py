"""How far a score would move with other groups, label draws and pretraining seeds: see docs/intervals.md.

Each group is left out in turn within its fold (the stratified jackknife), draws and seeds are crossed with
the groups, and the quantile is Student's. An interval is conditional on the training groups and, where there
is a single seed or a single draw, on that one. Nothing is drawn at random.
"""

from dataclasses import dataclass, replace
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
    """(1 + groups + folds) × seeds × draws: what an interval or a test of the metric is computed from.

    First the metric of all groups; then with each left out; then with each fold in turn of this seed, and the
    others of every seed: the mean over these.
    """
    values = metric_of_weights(pooled, metric, plan.units, len(plan.folds))(plan.weights)
    if pooled.seeds == 1:
        return of_one_seed(values, plan.folds)
    return np.concatenate([values.reshape(len(values), pooled.seeds, -1), _by_fold(pooled, metric)])


def of_one_seed(values: Floats, folds: Ints) -> Floats:
    """The replicates of a single seed, from (1 + groups) × draws: all its folds are of it alone."""
    by_fold = np.repeat(values[:1], len(np.unique(folds)), axis=0)
    return np.concatenate([values, by_fold])[:, None]


def _by_fold(pooled: Pooled, metric: str) -> Floats:
    """folds × seeds × draws. A unit is the images of a fold by one seed, and weighs 1 where it is chosen."""
    numbers, of_image = np.unique(pooled.folds, return_inverse=True)
    folds, seeds, images = len(numbers), pooled.seeds, len(pooled.labels)
    each = pooled.probabilities.reshape(seeds, -1, *pooled.probabilities.shape[1:])
    side_by_side = pooled.subset(np.tile(np.arange(images), seeds))
    as_images = replace(side_by_side, probabilities=np.concatenate([*each], axis=1), seeds=1)
    units = (of_image * seeds + np.arange(seeds)[:, None]).ravel()
    seed, fold = np.eye(seeds), np.eye(folds)[:, None, None, :, None]
    chosen = fold * seed[:, None, None] + (1 - fold) * seed[:, None]
    values = metric_of_weights(as_images, metric, units, folds * seeds)(chosen.reshape(-1, folds * seeds))
    means: Floats = values.reshape(folds, seeds, seeds, -1).mean(axis=2)
    return means


def estimate(values: Floats, folds: Ints) -> Estimate | None:
    """The mean over seeds and draws and its error, from replicates of a metric or of a difference of two.

    Var = V_groups + max(0, V_draws − V_both) + max(0, V_seeds − V_both). Draws and seeds are crossed with
    groups, and V_groups already includes what they share; V_both measures that, by how much more groups
    scatter in a single draw, or seed, than in the mean of all. Each fold is trained from random numbers of
    its own, so a seed counts once a fold. What seeds and draws share is counted with both. Degrees of freedom
    are Satterthwaite's, with a floor of the fewest of any part: his formula is for sums, and can fall below
    that once a term is subtracted.
    """
    whole, left_out, by_fold = np.split(values, [1, 1 + len(folds)])
    _, of_fold, sizes = np.unique(folds, return_inverse=True, return_counts=True)
    if np.isnan(values).any() or (sizes < 2).any():
        return None
    [of_groups] = _variances(left_out.mean(axis=(1, 2))[:, None], of_fold, sizes).tolist()
    free_groups = float(len(folds) - len(sizes))
    variance, spread, fewest = of_groups, of_groups**2 / free_groups, free_groups
    for means, left_out_of_each in (
        (whole.mean(axis=1), left_out.mean(axis=1)),  # by draw
        (by_fold.mean(axis=2), left_out.mean(axis=2)),  # by seed
    ):
        strata, levels = means.shape
        if levels > 1:
            of_levels = float(means.var(axis=1, ddof=1).sum()) / levels
            of_both = (float(_variances(left_out_of_each, of_fold, sizes).mean()) - of_groups) / (levels - 1)
            variance += max(0.0, of_levels - of_both)
            spread += of_levels**2 / (strata * (levels - 1))
            fewest = min(fewest, strata * (levels - 1))
    freedom = max(variance**2 / spread, fewest) if variance > 0 else free_groups
    return Estimate(float(whole.mean()), float(np.sqrt(variance)), freedom)


def _variances(left_out: Floats, of_fold: Ints, sizes: Ints) -> Floats:
    """The jackknife variance of each column, stratified by fold."""
    in_fold = np.eye(len(sizes))[of_fold]
    off_the_mean = left_out - ((in_fold.T @ left_out) / sizes[:, None])[of_fold]
    return ((sizes - 1) / sizes)[of_fold] @ off_the_mean**2
