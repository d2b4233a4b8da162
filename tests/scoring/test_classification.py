"""The score of one record."""

import json

import numpy as np
import pytest
from sklearn import metrics as referee

from cervbench.scoring.classification import HEADLINE, classification
from cervbench.scoring.metrics import METRICS
from cervbench.scoring.task import Task


def test_a_score_is_the_mean_over_draws_of_scikit_learns(table, task) -> None:
    columns = table()
    scores = classification(columns, task)
    by_draw, recalls, confusions = [], [], []
    for draw in range(3):
        rows = columns["draw"] == draw
        truth = [task.classes.index(name) for name in columns["label"][rows]]
        found = np.stack([columns[f"p_{name}"][rows] for name in task.classes], axis=1).argmax(axis=1)
        by_draw.append(referee.balanced_accuracy_score(truth, found))
        recalls.append(referee.recall_score(truth, found, average=None))
        confusions.append(referee.confusion_matrix(truth, found))
    assert scores[HEADLINE] == pytest.approx(np.mean(by_draw))
    assert list(scores["per_class_recall"].values()) == pytest.approx(np.mean(recalls, axis=0))
    np.testing.assert_allclose(scores["confusion"], np.mean(confusions, axis=0))


def test_the_order_of_rows_does_not_matter(table, task) -> None:
    columns = table()
    turned = {name: values[::-1] for name, values in columns.items()}
    assert classification(turned, task) == classification(columns, task)


def test_scores_are_plain_json_with_every_metric_in_it(table, task) -> None:
    scores = classification(table(), task)
    assert set(METRICS) | {"per_class_recall", "confusion"} == set(scores)
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_what_the_task_does_not_define_is_none(table) -> None:
    scores = classification(table(), Task(classes=("normal", "light", "severe")))
    undefined = {name for name, score in scores.items() if score is None}
    assert undefined == {name for name in METRICS if name.startswith("abnormal") or name == "quadratic_kappa"}


def test_a_class_without_images_is_none_and_in_no_average(table, task) -> None:
    columns = table()
    kept = columns["label"] != "severe"
    scores = classification({name: values[kept] for name, values in columns.items()}, task)
    recalls = scores["per_class_recall"]
    assert recalls["severe"] is None
    assert scores["balanced_accuracy"] == pytest.approx((recalls["normal"] + recalls["light"]) / 2)


def _without_a_column(columns):
    del columns["p_light"]


def _with_a_stranger(columns):
    columns["label"] = np.where(columns["image"] == "0-03", "unheard of", columns["label"])


def _with_a_gap(columns):
    keep = ~((columns["image"] == "0-03") & (columns["draw"] == 1))
    for name in columns:
        columns[name] = columns[name][keep]


def _with_another_image_in_one_draw(columns):
    columns["image"][(columns["image"] == "0-03") & (columns["draw"] == 1)] = "0-99"


def _with_an_image_twice(columns):
    columns["image"] = np.where(columns["image"] == "0-03", "0-04", columns["image"])


def _with_a_probability_lost(columns):
    columns["p_light"][(columns["image"] == "0-03") & (columns["draw"] == 1)] = np.nan


def _with_two_labels(columns):
    columns["label"][(columns["image"] == "0-03") & (columns["draw"] == 1)] = "severe"


def _with_two_groups(columns):
    columns["group"][(columns["image"] == "0-03") & (columns["draw"] == 1)] = "0-2"


def _with_less_than_nothing(columns):
    row = (columns["image"] == "0-03") & (columns["draw"] == 1)
    columns["p_normal"][row], columns["p_light"][row], columns["p_severe"][row] = -0.2, 0.6, 0.6


def _without_rows(columns):
    for name in columns:
        columns[name] = columns[name][:0]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_without_a_column, "p_light"),
        (_with_a_stranger, "'unheard of' is not a class"),
        (_with_a_gap, "not predicted in every draw"),
        (_with_another_image_in_one_draw, "not predicted in every draw"),
        (_with_an_image_twice, "0-04 is predicted twice"),
        (_with_a_probability_lost, "image 0-03, draw 1: a probability is not a number"),
        (_with_less_than_nothing, "image 0-03, draw 1: a probability is below 0"),
        (_with_two_labels, "different labels"),
        (_with_two_groups, "different groups"),
        (_without_rows, "no rows"),
    ],
)
def test_a_spoilt_table_is_refused_and_the_fault_named(table, task, spoil, told) -> None:
    columns = table()
    spoil(columns)
    with pytest.raises(ValueError, match=told):
        classification(columns, task)
