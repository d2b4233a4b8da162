"""The score of one record's table of class probabilities: the mean over its draws of every metric."""

from typing import Any

import numpy as np

from cervbench.plugin.evaluation import Columns
from cervbench.scoring.metrics import METRICS, recalls
from cervbench.scoring.predictions import read_predictions
from cervbench.scoring.tally import Floats, Rows, confusion
from cervbench.scoring.task import Task

HEADLINE = "balanced_accuracy"


def classification(columns: Columns, task: Task) -> dict[str, Any]:
    """Every metric of `metrics.METRICS` by name, `per_class_recall` and `confusion` (rows are the truth).

    Each is the mean over the draws. Macro averages are over the classes present. What is undefined (no
    abnormal class, no severity, a single class, a class without images) is None.
    """
    predictions = read_predictions(columns, task)
    labels = predictions.layout.labels
    everything = np.zeros(len(labels), dtype=np.int64)
    rows = Rows(labels, predictions.probabilities, everything, 1, task)
    once = np.ones(1)
    scores: dict[str, Any] = {
        name: mean_or_none(metric.tally(rows)(once)) for name, metric in METRICS.items()
    }
    return scores | _class_figures(rows)


def _class_figures(rows: Rows) -> dict[str, Any]:
    """Recall by class and the confusion matrix, as means over the draws."""
    counts = confusion(rows).sum(axis=0)
    by_class = recalls(counts).T
    return {
        "per_class_recall": {
            name: mean_or_none(own) for name, own in zip(rows.task.classes, by_class, strict=True)
        },
        "confusion": counts.mean(axis=0).tolist(),
    }


def mean_or_none(values: Floats) -> float | None:
    """The mean of the defined values as a plain float; None if there are none."""
    defined = np.asarray(values)[~np.isnan(values)]
    return float(defined.mean()) if defined.size else None
