"""Predictions brought to sums, a row for each unit: all that a metric needs of them.

A unit is what is weighted as one: a row, a group, or everything.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cervbench.scoring.task import Task

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Valuation = Callable[[Floats], Floats]
"""A metric as a function of the weights of units: … × units in, … × draws out."""

THRESHOLD = 0.5


@dataclass(frozen=True)
class Rows:
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


def confusion(rows: Rows) -> Floats:
    """units × draws × classes × classes: rows counted by truth, then by prediction."""
    return _counts(rows, rows.labels, rows.predicted, len(rows.task.classes))


def alarms(rows: Rows) -> Floats:
    """units × draws × 2 × 2: abnormal in truth, and found so at a probability of one half."""
    found = (rows.abnormal_share >= THRESHOLD).astype(np.int64)
    return _counts(rows, rows.truly_abnormal.astype(np.int64), found, 2)


def _counts(rows: Rows, truth: Ints, found: Ints, kinds: int) -> Floats:
    cell = ((rows.units * rows.draws + np.arange(rows.draws)[:, None]) * kinds + truth) * kinds + found
    size = rows.unit_count * rows.draws * kinds * kinds
    counted = np.bincount(cell.ravel(), minlength=size).astype(float)
    return counted.reshape(rows.unit_count, rows.draws, kinds, kinds)


def summed(rows: Rows, values: Floats) -> Floats:
    """units × draws × columns of what is given as draws × n × columns."""
    sums = np.zeros((rows.unit_count, rows.draws, values.shape[-1]))
    order = np.argsort(rows.units, kind="stable")
    present, starts = np.unique(rows.units[order], return_index=True)
    sums[present] = np.add.reduceat(values.transpose(1, 0, 2)[order], starts, axis=0)
    return sums


def weighed(sums: Floats, definition: Callable[[Floats], Floats]) -> Valuation:
    flat = sums.reshape(len(sums), -1)
    return lambda weights: definition((weights @ flat).reshape(*weights.shape[:-1], *sums.shape[1:]))


def undefined(rows: Rows) -> Valuation:
    return lambda weights: np.full((*weights.shape[:-1], rows.draws), np.nan)


def quotient(part: Floats, whole: Floats) -> Floats:
    shape = np.broadcast_shapes(np.shape(part), np.shape(whole))
    return np.divide(part, whole, out=np.full(shape, np.nan), where=np.asarray(whole) > 0)


def mean_defined(values: Floats) -> Floats:
    """Mean along the last axis of what is not NaN; NaN where nothing is."""
    defined = ~np.isnan(values)
    return quotient(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1))
