"""The definitions of every metric, once. A metric first tallies its rows by unit, then values any weights.

A unit is what is weighted as one: a row, a group, or everything. `tally(table)` sums what the metric
needs of each unit; `value(weights)` takes weights … × units and gives … × draws. So a score is one unit
of weight one, and leaving out each group in turn is one matrix product. NaN stands for what is not defined.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cervbench.scoring.task import Task

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Value = Callable[[Floats], Floats]

CALIBRATION_BINS = 15
THRESHOLD = 0.5
LEAST_PROBABILITY = 1e-7  # about what float32 can tell from 1


@dataclass(frozen=True)
class Table:
    """Predictions of all draws for the same rows, with the unit each row belongs to."""

    labels: Ints
    """n; index into the task's classes."""
    probabilities: Floats
    """draws × n × classes."""
    units: Ints
    """n; 0 … unit_count - 1."""
    unit_count: int
    task: Task

    @property
    def draws(self) -> int:
        return len(self.probabilities)

    @property
    def predicted(self) -> Ints:
        return self.probabilities.argmax(axis=2)

    @property
    def abnormal_share(self) -> Floats:
        """draws × n; the probability of the abnormal classes, as a share of the sum of all.

        What is stored in float32 adds up to 1 but for the last bits. A plain sum of the abnormal would rank
        by these bits the images that a method finds surely abnormal; a share is 1 for all of them.
        """
        abnormal = self.probabilities[:, :, self.task.is_abnormal].sum(axis=2)
        normal = self.probabilities[:, :, ~self.task.is_abnormal].sum(axis=2)
        share: Floats = abnormal / (abnormal + normal)
        return share

    @property
    def truly_abnormal(self) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = self.task.is_abnormal[self.labels]
        return mask


@dataclass(frozen=True)
class Metric:
    tally: Callable[[Table], Value]
    per_fold: bool
    """Scores of different folds are on different scales: valued per fold, then averaged."""
    bounds: tuple[float, float] | None = (0.0, 1.0)
    """What it cannot leave; None where it has no upper end."""
    lower_is_better: bool = False


def confusion(table: Table) -> Floats:
    """units × draws × classes × classes: rows counted by truth, then by prediction."""
    return _counts(table, table.labels, table.predicted, len(table.task.classes))


def alarms(table: Table) -> Floats:
    """units × draws × 2 × 2: abnormal in truth, and found so at a probability of one half."""
    found = (table.abnormal_share >= THRESHOLD).astype(np.int64)
    return _counts(table, table.truly_abnormal.astype(np.int64), found, 2)


def recalls(counts: Floats) -> Floats:
    """… × classes, NaN for a class without rows."""
    return _ratio(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1))


def accuracy(counts: Floats) -> Floats:
    return _ratio(np.trace(counts, axis1=-2, axis2=-1), counts.sum(axis=(-2, -1)))


def balanced_accuracy(counts: Floats) -> Floats:
    """Mean recall of the classes present."""
    return _mean_defined(recalls(counts))


def macro_f1(counts: Floats) -> Floats:
    """Mean F1 of the classes present; 0 for one that is never found."""
    present = counts.sum(axis=-1)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    f1 = _ratio(2 * hits, present + counts.sum(axis=-2))
    return _mean_defined(np.where(present > 0, f1, np.nan))


def quadratic_kappa(counts: Floats, ranks: Ints) -> Floats:
    """Cohen's kappa of ranks, disagreements weighed by their squared distance."""
    member = np.eye(ranks.max() + 1)[ranks]
    ranked = member.T @ counts @ member
    distance = np.subtract.outer(np.arange(len(member.T)), np.arange(len(member.T))) ** 2.0
    expected = ranked.sum(axis=-1)[..., :, None] * ranked.sum(axis=-2)[..., None, :]
    total = ranked.sum(axis=(-2, -1))
    return 1 - _ratio(
        (distance * ranked).sum(axis=(-2, -1)) * total, (distance * expected).sum(axis=(-2, -1))
    )


def sensitivity(counts: Floats) -> Floats:
    return recalls(counts)[..., 1]


def specificity(counts: Floats) -> Floats:
    return recalls(counts)[..., 0]


def precision(counts: Floats) -> Floats:
    return _ratio(counts[..., 1, 1], counts[..., 1].sum(axis=-1))


def _from_confusion(definition: Callable[[Floats], Floats], table: Table) -> Value:
    return _weighed(confusion(table), definition)


def _from_alarms(definition: Callable[[Floats], Floats], table: Table) -> Value:
    if not table.task.is_abnormal.any():
        return partial(_undefined, table)
    return _weighed(alarms(table), definition)


def _over_classes(tally: Callable[[Table], Value]) -> Callable[[Table], Value]:
    """A mean over the classes present, NaN for weights that leave one of them without rows.

    Over fewer classes it would be another figure.
    """

    def tallied(table: Table) -> Value:
        of_table = tally(table)
        rows = np.zeros((table.unit_count, len(table.task.classes)))
        np.add.at(rows, (table.units, table.labels), 1)
        rows = rows[:, rows.any(axis=0)]

        def of_weights(weights: Floats) -> Floats:
            all_there = (weights @ rows > 0).all(axis=-1, keepdims=True)
            return np.where(all_there, of_table(weights), np.nan)

        return of_weights

    return tallied


def _kappa(table: Table) -> Value:
    ranks = table.task.ranks
    if ranks is None:
        return partial(_undefined, table)
    return _weighed(confusion(table), lambda counts: quadratic_kappa(counts, ranks))


def _log_loss(table: Table) -> Value:
    """Mean of -log p(truth); p is floored at 1e-7."""
    own = np.take_along_axis(table.probabilities, table.labels[None, :, None], axis=2)[:, :, 0]
    losses = -np.log(np.maximum(own, LEAST_PROBABILITY))
    sums = _sums(table, np.stack([losses, np.ones_like(losses)], axis=-1))
    return _weighed(sums, lambda sums: _ratio(sums[..., 0], sums[..., 1]))


def _calibration_error(table: Table) -> Value:
    """Expected calibration error of the predicted class, in 15 bins of equal width."""
    confidence = table.probabilities.max(axis=2)
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    over = confidence - (table.predicted == table.labels)
    in_bin = np.eye(CALIBRATION_BINS)[bins]
    sums = _sums(table, np.concatenate([over[..., None] * in_bin, in_bin], axis=-1))

    def of_sums(sums: Floats) -> Floats:
        gaps, rows = np.split(sums, 2, axis=-1)
        return _ratio(np.abs(gaps).sum(axis=-1), rows.sum(axis=-1))

    return _weighed(sums, of_sums)


def _abnormal_auc(table: Table) -> Value:
    if not table.task.is_abnormal.any():
        return partial(_undefined, table)
    per_draw = [_auc(table, table.truly_abnormal, scores) for scores in table.abnormal_share]
    return lambda weights: np.stack([auc(weights) for auc in per_draw], axis=-1)


def _macro_auc(table: Table) -> Value:
    """One class against the rest, mean of the classes present."""
    present = np.unique(table.labels)
    per_class = [[_auc(table, table.labels == k, own[:, k]) for own in table.probabilities] for k in present]

    def of_weights(weights: Floats) -> Floats:
        return _mean_defined(np.array([[auc(weights) for auc in of_draws] for of_draws in per_class]).T)

    return of_weights


def _auc(table: Table, positive: NDArray[np.bool_], scores: Floats) -> Value:
    """The share of all pairs of a positive and a negative that are in right order; ties count half."""
    ordered, units = scores[~positive], table.units[~positive]
    order = np.argsort(ordered, kind="stable")
    ordered, units = ordered[order], units[order]
    below = np.zeros((len(order) + 1, table.unit_count))
    below[np.arange(1, len(below)), units] = 1
    np.cumsum(below, axis=0, out=below)
    own = scores[positive]
    under = below[ordered.searchsorted(own, "left")] + below[ordered.searchsorted(own, "right")]
    member = np.zeros((table.unit_count, len(own)))
    member[table.units[positive], np.arange(len(own))] = 1
    in_order, positives, negatives = member @ under / 2, member.sum(axis=1), below[-1]

    def of_weights(weights: Floats) -> Floats:
        pairs = (weights @ positives) * (weights @ negatives)
        return _ratio(((weights @ in_order) * weights).sum(axis=-1), pairs)

    return of_weights


def _abnormal_average_precision(table: Table) -> Value:
    """Precision at each abnormal row's score, mean of those rows; rows of equal score enter together."""
    if not table.task.is_abnormal.any():
        return partial(_undefined, table)

    def of_draw(scores: Floats, weights: Floats) -> Floats:
        order = np.argsort(-scores, kind="stable")
        last_of_ties = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
        rows = weights[..., table.units[order]]
        hits = np.cumsum(rows * table.truly_abnormal[order], axis=-1)[..., last_of_ties]
        precisions = _ratio(hits, np.cumsum(rows, axis=-1)[..., last_of_ties])
        gains = np.diff(hits, axis=-1, prepend=0)
        return _ratio((gains * np.nan_to_num(precisions)).sum(axis=-1), hits[..., -1])

    return lambda weights: np.stack([of_draw(s, weights) for s in table.abnormal_share], axis=-1)


METRICS: dict[str, Metric] = {
    "accuracy": Metric(partial(_from_confusion, accuracy), per_fold=False),
    "balanced_accuracy": Metric(_over_classes(partial(_from_confusion, balanced_accuracy)), per_fold=False),
    "macro_f1": Metric(_over_classes(partial(_from_confusion, macro_f1)), per_fold=False),
    "macro_auc": Metric(_over_classes(_macro_auc), per_fold=True),
    "quadratic_kappa": Metric(_kappa, per_fold=False, bounds=(-1.0, 1.0)),
    "log_loss": Metric(_log_loss, per_fold=True, bounds=None, lower_is_better=True),
    "calibration_error": Metric(_calibration_error, per_fold=True, lower_is_better=True),
    "abnormal_sensitivity": Metric(partial(_from_alarms, sensitivity), per_fold=False),
    "abnormal_specificity": Metric(partial(_from_alarms, specificity), per_fold=False),
    "abnormal_precision": Metric(partial(_from_alarms, precision), per_fold=False),
    "abnormal_auc": Metric(_abnormal_auc, per_fold=True),
    "abnormal_average_precision": Metric(_abnormal_average_precision, per_fold=True),
}


def _counts(table: Table, truth: Ints, found: Ints, kinds: int) -> Floats:
    cell = ((table.units * table.draws + np.arange(table.draws)[:, None]) * kinds + truth) * kinds + found
    size = table.unit_count * table.draws * kinds * kinds
    counted = np.bincount(cell.ravel(), minlength=size).astype(float)
    return counted.reshape(table.unit_count, table.draws, kinds, kinds)


def _sums(table: Table, rows: Floats) -> Floats:
    """units × draws × columns of what is given as draws × n × columns."""
    sums = np.zeros((table.unit_count, table.draws, rows.shape[-1]))
    order = np.argsort(table.units, kind="stable")
    present, starts = np.unique(table.units[order], return_index=True)
    sums[present] = np.add.reduceat(rows.transpose(1, 0, 2)[order], starts, axis=0)
    return sums


def _weighed(sums: Floats, definition: Callable[[Floats], Floats]) -> Value:
    flat = sums.reshape(len(sums), -1)
    return lambda weights: definition((weights @ flat).reshape(*weights.shape[:-1], *sums.shape[1:]))


def _undefined(table: Table, weights: Floats) -> Floats:
    return np.full((*weights.shape[:-1], table.draws), np.nan)


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)


def _mean_defined(values: Floats) -> Floats:
    """Mean along the last axis of what is not NaN; NaN where nothing is."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1))
