"""The score of one record's table of class probabilities: the mean over its draws of every metric."""

from typing import Any

from cervbench.plugin.evaluation import Columns
from cervbench.plugin.offers import CLASSIFICATION_SCHEMA
from cervbench.scoring.metrics import METRICS, recalls
from cervbench.scoring.pooling import mean_or_none, pool, value
from cervbench.scoring.tally import confusion
from cervbench.scoring.task import Task

HEADLINE = "balanced_accuracy"
REVISION = 1
"""Raised when other scores are computed of the same predictions: records of before are then scored again."""


def revision_of_scores(schema: str) -> int:
    """That of a table in the core's schema; others are scored by their evaluation, which has its own."""
    return REVISION if schema == CLASSIFICATION_SCHEMA else 1


def classification(columns: Columns, task: Task) -> dict[str, Any]:
    """Every metric of `metrics.METRICS` by name, `per_class_recall` and `confusion` (rows are the truth).

    Each is the mean over the draws. Macro averages are over the classes present. What is undefined (no
    abnormal class, no severity, a single class, a class without images) is None.
    """
    pooled = pool([columns], [0], task)  # a record is a single fold: what is pooled on pages is scored alike
    [counts] = confusion(pooled.rows(pooled.as_one, 1))
    by_class = zip(task.classes, recalls(counts).T, strict=True)
    scores: dict[str, Any] = {name: value(pooled, name) for name in METRICS}
    return scores | {
        "per_class_recall": {name: mean_or_none(own) for name, own in by_class},
        "confusion": counts.mean(axis=0).tolist(),
    }
