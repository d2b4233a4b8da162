"""The definitions of every metric, once. A metric first tallies its rows by unit, then values any weights.

`tally(rows)` sums what the metric needs of each unit; `value(weights)` takes weights … × units and gives
… × draws. So a score is one unit of weight one, and leaving out each group in turn is one matrix product.
NaN stands for what is not defined.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cervbench.scoring.tally import (
    Floats,
    Ints,
    Rows,
    Valuation,
    alarms,
    confusion,
    mean_defined,
    quotient,
    summed,
    undefined,
    weighed,
)
from cervbench.scoring.task import Task

CALIBRATION_BINS = 15
LEAST_PROBABILITY = 1e-7  # about what float32 can tell from 1


@dataclass(frozen=True)
class Metric:
    title: str
    """As pages call it."""
    definition: Callable[[Rows], Valuation]
    per_fold: bool
    """Scores of different folds are on different scales: valued per fold, then averaged."""
    bounds: tuple[float, float] | None = (0.0, 1.0)
    """What it cannot leave; None where it has no upper end."""
    unit: str = "%"
    """What it is shown in; its value is a share where that is per cent."""
    lower_is_better: bool = False
    needs_abnormal: bool = False
    """Not defined for a task without abnormal classes."""

    @property
    def heading(self) -> str:
        return f"{self.title}, {self.unit}"

    def applies(self, task: Task) -> bool:
        return not self.needs_abnormal or bool(task.is_abnormal.any())

    def tally(self, rows: Rows) -> Valuation:
        return self.definition(rows) if self.applies(rows.task) else undefined(rows)


def recalls(counts: Floats) -> Floats:
    """… × classes, NaN for a class without rows."""
    return quotient(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1))


def accuracy(counts: Floats) -> Floats:
    return quotient(np.trace(counts, axis1=-2, axis2=-1), counts.sum(axis=(-2, -1)))


def balanced_accuracy(counts: Floats) -> Floats:
    """Mean recall of the classes present."""
    return mean_defined(recalls(counts))


def macro_f1(counts: Floats) -> Floats:
    """Mean F1 of the classes present; 0 for one that is never found."""
    present = counts.sum(axis=-1)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    f1 = quotient(2 * hits, present + counts.sum(axis=-2))
    return mean_defined(np.where(present > 0, f1, np.nan))


def quadratic_kappa(counts: Floats, ranks: Ints) -> Floats:
    """Cohen's kappa of ranks, disagreements weighed by their squared distance."""
    member = np.eye(ranks.max() + 1)[ranks]
    ranked = member.T @ counts @ member
    distance = np.subtract.outer(np.arange(len(member.T)), np.arange(len(member.T))) ** 2.0
    expected = ranked.sum(axis=-1)[..., :, None] * ranked.sum(axis=-2)[..., None, :]
    total = ranked.sum(axis=(-2, -1))
    return 1 - quotient(
        (distance * ranked).sum(axis=(-2, -1)) * total, (distance * expected).sum(axis=(-2, -1))
    )


def sensitivity(counts: Floats) -> Floats:
    return recalls(counts)[..., 1]


def specificity(counts: Floats) -> Floats:
    return recalls(counts)[..., 0]


def precision(counts: Floats) -> Floats:
    return quotient(counts[..., 1, 1], counts[..., 1].sum(axis=-1))


def _from_confusion(definition: Callable[[Floats], Floats], rows: Rows) -> Valuation:
    return weighed(confusion(rows), definition)


def _from_alarms(definition: Callable[[Floats], Floats], rows: Rows) -> Valuation:
    return weighed(alarms(rows), definition)


def _over_classes(tally: Callable[[Rows], Valuation]) -> Callable[[Rows], Valuation]:
    """A mean over the classes present, NaN for weights that leave one of them without rows.

    Over fewer classes it would be another figure.
    """

    def tallied(rows: Rows) -> Valuation:
        value = tally(rows)
        counts = np.zeros((rows.unit_count, len(rows.task.classes)))
        np.add.at(counts, (rows.units, rows.labels), 1)
        counts = counts[:, counts.any(axis=0)]

        def of_weights(weights: Floats) -> Floats:
            all_there = (weights @ counts > 0).all(axis=-1, keepdims=True)
            return np.where(all_there, value(weights), np.nan)

        return of_weights

    return tallied


def _kappa(rows: Rows) -> Valuation:
    ranks = rows.task.ranks
    if ranks is None:
        return undefined(rows)
    return weighed(confusion(rows), lambda counts: quadratic_kappa(counts, ranks))


def _log_loss(rows: Rows) -> Valuation:
    """Mean of -log p(truth); p is floored at 1e-7."""
    own = np.take_along_axis(rows.probabilities, rows.labels[None, :, None], axis=2)[:, :, 0]
    losses = -np.log(np.maximum(own, LEAST_PROBABILITY))
    sums = summed(rows, np.stack([losses, np.ones_like(losses)], axis=-1))
    return weighed(sums, lambda sums: quotient(sums[..., 0], sums[..., 1]))


def _calibration_error(rows: Rows) -> Valuation:
    """Expected calibration error of the predicted class, in 15 bins of equal width."""
    confidence = rows.probabilities.max(axis=2)
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    over = confidence - (rows.predicted == rows.labels)
    in_bin = np.eye(CALIBRATION_BINS)[bins]
    sums = summed(rows, np.concatenate([over[..., None] * in_bin, in_bin], axis=-1))

    def of_sums(sums: Floats) -> Floats:
        gaps, counts = np.split(sums, 2, axis=-1)
        return quotient(np.abs(gaps).sum(axis=-1), counts.sum(axis=-1))

    return weighed(sums, of_sums)


def _abnormal_auc(rows: Rows) -> Valuation:
    return _auc(rows, rows.truly_abnormal, rows.abnormal_share)


def _macro_auc(rows: Rows) -> Valuation:
    """One class against the rest, mean of the classes present."""
    present = np.unique(rows.labels)
    per_class = [_auc(rows, rows.labels == k, rows.probabilities[:, :, k]) for k in present]
    return lambda weights: mean_defined(np.stack([auc(weights) for auc in per_class], axis=-1))


def _auc(rows: Rows, positive: NDArray[np.bool_], scores: Floats) -> Valuation:
    """The share of all pairs of a positive and a negative that are in right order; ties count half."""
    draw, negative = np.arange(rows.draws)[:, None], np.flatnonzero(~positive)
    order = negative[np.argsort(scores[:, negative], axis=1, kind="stable")]
    below = np.zeros((rows.draws, len(negative) + 1, rows.unit_count))
    below[draw, np.arange(1, len(negative) + 1), rows.units[order]] = 1
    np.cumsum(below, axis=1, out=below)
    pairs = list(zip(scores[draw, order], scores[:, positive], strict=True))
    first, last = ([low.searchsorted(own, side) for low, own in pairs] for side in ("left", "right"))
    member = np.zeros((rows.unit_count, np.count_nonzero(positive)))
    member[rows.units[positive], np.arange(member.shape[1])] = 1
    in_order = member @ (below[draw, first] + below[draw, last]) / 2
    positives, negatives = member.sum(axis=1), below[0, -1]

    def of_weights(weights: Floats) -> Floats:
        flat = weights.reshape(-1, rows.unit_count)
        shares = quotient(((flat @ in_order) * flat).sum(axis=-1), (flat @ positives) * (flat @ negatives))
        return shares.T.reshape(*weights.shape[:-1], rows.draws)

    return of_weights


def _abnormal_average_precision(rows: Rows) -> Valuation:
    """Precision at each abnormal row's score, mean of those rows; rows of equal score enter together."""

    def of_draw(scores: Floats, weights: Floats) -> Floats:
        order = np.argsort(-scores, kind="stable")
        last_of_ties = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
        own = weights[..., rows.units[order]]
        hits = np.cumsum(own * rows.truly_abnormal[order], axis=-1)[..., last_of_ties]
        precisions = quotient(hits, np.cumsum(own, axis=-1)[..., last_of_ties])
        gains = np.diff(hits, axis=-1, prepend=0)
        return quotient((gains * np.nan_to_num(precisions)).sum(axis=-1), hits[..., -1])

    return lambda weights: np.stack([of_draw(s, weights) for s in rows.abnormal_share], axis=-1)


METRICS: dict[str, Metric] = {
    "accuracy": Metric("accuracy", partial(_from_confusion, accuracy), per_fold=False),
    "balanced_accuracy": Metric(
        "balanced accuracy", _over_classes(partial(_from_confusion, balanced_accuracy)), per_fold=False
    ),
    "macro_f1": Metric("macro F1", _over_classes(partial(_from_confusion, macro_f1)), per_fold=False),
    "macro_auc": Metric("macro AUC", _over_classes(_macro_auc), per_fold=True),
    "quadratic_kappa": Metric("quadratic kappa", _kappa, per_fold=False, bounds=(-1.0, 1.0)),
    "log_loss": Metric("log-loss", _log_loss, per_fold=True, bounds=None, unit="nats", lower_is_better=True),
    "calibration_error": Metric("calibration error", _calibration_error, per_fold=True, lower_is_better=True),
    "abnormal_sensitivity": Metric(
        "sensitivity", partial(_from_alarms, sensitivity), per_fold=False, needs_abnormal=True
    ),
    "abnormal_specificity": Metric(
        "specificity", partial(_from_alarms, specificity), per_fold=False, needs_abnormal=True
    ),
    "abnormal_precision": Metric(
        "precision", partial(_from_alarms, precision), per_fold=False, needs_abnormal=True
    ),
    "abnormal_auc": Metric(
        "AUC of abnormal against normal", _abnormal_auc, per_fold=True, needs_abnormal=True
    ),
    "abnormal_average_precision": Metric(
        "average precision", _abnormal_average_precision, per_fold=True, needs_abnormal=True
    ),
}
