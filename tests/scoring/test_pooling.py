"""Several folds as one: what is pooled, what is averaged, and what is refused."""

import numpy as np
import pytest

from cervbench.scoring.classification import classification
from cervbench.scoring.pooling import class_groups, pool, value
from cervbench.scoring.task import Task


def _together(*tables):
    return {name: np.concatenate([columns[name] for columns in tables]) for name in tables[0]}


def test_counts_are_pooled_over_folds_and_scores_averaged(table, task) -> None:
    tables = [table(fold, signal=fold) for fold in range(3)]
    kept = tables[0]["label"] != "severe"
    tables[0] = {name: values[kept] for name, values in tables[0].items()}
    pooled = pool(tables, [0, 1, 2], task)
    as_one, apart = classification(_together(*tables), task), [classification(each, task) for each in tables]
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "quadratic_kappa", "abnormal_sensitivity"):
        assert value(pooled, name) == pytest.approx(as_one[name])
        assert value(pooled, name) != pytest.approx(np.mean([scores[name] for scores in apart]))
    for name in ("macro_auc", "abnormal_auc", "abnormal_average_precision", "calibration_error", "log_loss"):
        assert value(pooled, name) == pytest.approx(np.mean([scores[name] for scores in apart]))
        assert value(pooled, name) != pytest.approx(as_one[name])


def test_the_order_in_which_folds_are_given_does_not_matter(table, task) -> None:
    tables = [table(fold) for fold in range(3)]
    forwards, backwards = pool(tables, [0, 1, 2], task), pool(tables[::-1], [2, 1, 0], task)
    np.testing.assert_array_equal(forwards.images, backwards.images)
    np.testing.assert_array_equal(forwards.probabilities, backwards.probabilities)


def test_groups_are_counted_class_by_class(table, task) -> None:
    columns = table()
    for group in ("0-7", "0-8", "0-9"):
        columns["label"] = np.where(columns["group"] == group, "normal", columns["label"])
    assert class_groups(pool([columns], [0], task)) == {"normal": 10, "light": 7, "severe": 7}


def test_tables_of_one_fold_or_one_image_twice_are_refused(table, task) -> None:
    with pytest.raises(ValueError, match="one table a fold"):
        pool([table(0), table(1)], [0, 0], task)
    with pytest.raises(ValueError, match="image 0-00 is tested in two folds"):
        pool([table(0), table(0)], [0, 1], task)


def test_a_group_in_two_folds_is_refused_where_groups_are_known(table, task) -> None:
    crossing = table(1)
    crossing["group"] = np.array([name.replace("1-", "0-") for name in crossing["group"]], dtype=object)
    with pytest.raises(ValueError, match="group is tested in two folds"):
        pool([table(0), crossing], [0, 1], task)
    unknown = Task(**task.model_dump() | {"groups_known": False})
    assert len(pool([table(0), crossing], [0, 1], unknown).images) == 60


def test_folds_with_different_draws_are_refused(table, task) -> None:
    with pytest.raises(ValueError, match="fold 0: 0, 1, 2; fold 1: 0\\)"):
        pool([table(0), table(1, draws=1)], [0, 1], task)
    other = table(1)
    other["draw"] = np.where(other["draw"] == 2, 3, other["draw"])
    with pytest.raises(ValueError, match="fold 0: 0, 1, 2; fold 1: 0, 1, 3"):
        pool([table(0), other], [0, 1], task)
