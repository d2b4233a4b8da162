"""How far a score would move with other groups and other label draws: see docs/intervals.md.

Each group is left out in turn within its fold (the stratified jackknife), the draws are crossed with the
groups, and the quantile is Student's. An interval is conditional on the pretraining seed, on the training
groups and, if there is a single draw, on that draw. Nothing is drawn at random.
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
    """Where the expected score lies for new groups and new draws, the training being as it was.

    `values` are the replicates of the metric, `folds` the fold of each group. A single draw stands for
    itself: nothing is then said about other label orders. None where the data cannot say: a fold with a
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
    """1 + groups × draws: the metric of all groups, and with each left out."""
    return metric_of_weights(pooled, metric, plan.units, len(plan.folds))(plan.weights)


def estimate(values: Floats, folds: Ints) -> Estimate | None:
    """The mean over draws and its error, from replicates of a metric or of a difference of two.

    Var = V_groups + max(0, V_draws − V_both). Groups and draws are crossed, and V_groups already includes
    their interaction; V_both measures that, by how much more groups scatter in a single draw than in the mean
    of all. Degrees of freedom are Satterthwaite's, with a floor of min(groups − folds, draws − 1): his
    formula is for sums, and can fall below that once a term is subtracted.
    """
    whole, left_out = values[0], values[1:]
    _, of_fold, sizes = np.unique(folds, return_inverse=True, return_counts=True)
    if np.isnan(values).any() or (sizes < 2).any():
        return None
    draws, free_groups = len(whole), float(len(folds) - len(sizes))
    mean_and_each = np.column_stack([left_out.mean(axis=1), left_out])
    of_groups, *of_groups_in_draws = _variances(mean_and_each, of_fold, sizes).tolist()
    if draws == 1:
        return Estimate(float(whole.mean()), float(np.sqrt(of_groups)), free_groups)
    of_draws = float(whole.var(ddof=1)) / draws
    of_both = (float(np.mean(of_groups_in_draws)) - of_groups) / (draws - 1)
    variance = of_groups + max(0.0, of_draws - of_both)
    spread = of_groups**2 / free_groups + of_draws**2 / (draws - 1)
    freedom = max(variance**2 / spread, min(free_groups, draws - 1)) if variance > 0 else free_groups
    return Estimate(float(whole.mean()), float(np.sqrt(variance)), freedom)


def _variances(left_out: Floats, of_fold: Ints, sizes: Ints) -> Floats:
    """The jackknife variance of each column, stratified by fold."""
    in_fold = np.eye(len(sizes))[of_fold]
    off_the_mean = left_out - ((in_fold.T @ left_out) / sizes[:, None])[of_fold]
    return ((sizes - 1) / sizes)[of_fold] @ off_the_mean**2
