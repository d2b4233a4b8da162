"""Records as a table: what was asked for, and the scores that are numbers."""

import json
import math
from collections.abc import Sequence

import pandas as pd

from cervbench.records.record import Record
from cervbench.scoring.metrics import METRICS


def overview(records: Sequence[Record]) -> pd.DataFrame:
    """A row per record; its columns do not depend on the order in which scores were stored."""
    rows = [{**_asked(record), **_numbers(record), "record": record.id} for record in records]
    scores = {name for record in records for name in _numbers(record)}
    ordered = [*filter(scores.__contains__, METRICS), *sorted(scores.difference(METRICS))]
    return pd.DataFrame(rows, columns=[*_asked(records[0]), *ordered, "record"])


def _asked(record: Record) -> dict[str, str | int]:
    run = record.run
    return {
        "method": run.method.name,
        "variant": run.dataset.variant,
        "tier": run.protocol.tier,
        "backbone": run.backbone,
        "init": run.init,
        "settings": json.dumps(run.method.config, sort_keys=True),
        "seed": run.seed,
        "fold": run.fold,
        "pretraining": run.id,
        "evaluation": record.evaluation.name,
        "ratio": record.ratio,
        "train_labels": record.labels.train,
        "val_labels": record.labels.val,
    }


def _numbers(record: Record) -> dict[str, float]:
    """The scores that are numbers; one that is undefined is NaN, with which pandas computes on.

    A package can call a score of its own as a column is called.
    """
    asked = _asked(record)
    return {
        f"{name}_score" if name in asked else name: math.nan if score is None else score
        for name, score in record.scores.items()
        if isinstance(score, float | int | None)
    }
