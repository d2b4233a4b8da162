"""Every metric against scikit-learn, with and without weights, and against examples worked by hand."""

import numpy as np
import pytest
from sklearn import metrics as referee

from cervbench.scoring.metrics import METRICS, quadratic_kappa
from cervbench.scoring.tally import Rows
from cervbench.scoring.task import Task

TASK = Task(
    classes=("superficial", "columnar", "light", "severe", "never seen"),
    abnormal=("light", "severe", "never seen"),
    severity={"superficial": 0, "columnar": 0, "light": 1, "severe": 2, "never seen": 3},
)
PRESENT = range(4)
BINARY = TASK.is_abnormal


def _labels_and_probabilities(rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    labels = rng.choice(4, rows, p=[0.4, 0.1, 0.3, 0.2])
    logits = rng.normal(size=(rows, 5)) + 1.2 * np.eye(5)[labels]
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, rng.multinomial(20, chances) / 20  # steps of 0.05: many ties


LABELS, PROBABILITIES = _labels_and_probabilities()
PREDICTED = PROBABILITIES.argmax(axis=1)
FLOORED = np.maximum(PROBABILITIES, 1e-7)
FLOORED /= FLOORED.sum(axis=1, keepdims=True)
ABNORMAL = PROBABILITIES[:, BINARY].sum(axis=1) / (
    PROBABILITIES[:, BINARY].sum(axis=1) + PROBABILITIES[:, ~BINARY].sum(axis=1)
)


def _one_vs_rest(weights: np.ndarray) -> float:
    aucs = [referee.roc_auc_score(k == LABELS, PROBABILITIES[:, k], sample_weight=weights) for k in PRESENT]
    return float(np.mean(aucs))


def _calibration_error(weights: np.ndarray) -> float:
    confidence, total = PROBABILITIES.max(axis=1), 0.0
    for low in np.arange(15) / 15:
        own = (confidence >= low) & ((confidence < low + 1 / 15) | (low == 14 / 15))
        if weights[own].sum() > 0:
            right = np.average((PREDICTED == LABELS)[own], weights=weights[own])
            said = np.average(confidence[own], weights=weights[own])
            total += abs(right - said) * weights[own].sum() / weights.sum()
    return total


REFEREE = {
    "accuracy": lambda w: referee.accuracy_score(LABELS, PREDICTED, sample_weight=w),
    "balanced_accuracy": lambda w: referee.recall_score(
        LABELS, PREDICTED, labels=PRESENT, average="macro", sample_weight=w
    ),
    "macro_f1": lambda w: referee.f1_score(
        LABELS, PREDICTED, labels=PRESENT, average="macro", sample_weight=w
    ),
    "macro_auc": _one_vs_rest,
    "quadratic_kappa": lambda w: referee.cohen_kappa_score(
        TASK.ranks[LABELS], TASK.ranks[PREDICTED], weights="quadratic", sample_weight=w
    ),
    "log_loss": lambda w: referee.log_loss(LABELS, FLOORED, labels=range(5), sample_weight=w),
    "calibration_error": _calibration_error,
    "abnormal_sensitivity": lambda w: referee.recall_score(BINARY[LABELS], ABNORMAL >= 0.5, sample_weight=w),
    "abnormal_specificity": lambda w: referee.recall_score(~BINARY[LABELS], ABNORMAL < 0.5, sample_weight=w),
    "abnormal_precision": lambda w: referee.precision_score(BINARY[LABELS], ABNORMAL >= 0.5, sample_weight=w),
    "abnormal_auc": lambda w: referee.roc_auc_score(BINARY[LABELS], ABNORMAL, sample_weight=w),
    "abnormal_average_precision": lambda w: referee.average_precision_score(
        BINARY[LABELS], ABNORMAL, sample_weight=w
    ),
}


def value(name: str, labels: np.ndarray, chances: np.ndarray, weights: np.ndarray, task: Task) -> np.ndarray:
    """One metric of n × classes probabilities, each row a unit: weights n give a number, B × n give B."""
    rows = Rows(labels, chances[None], np.arange(len(labels)), len(labels), task)
    return METRICS[name].tally(rows)(weights)[..., 0]


def test_the_referee_knows_every_metric() -> None:
    assert set(REFEREE) == set(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_agrees_with_scikit_learn(name: str) -> None:
    ones = np.ones(len(LABELS))
    assert value(name, LABELS, PROBABILITIES, ones, TASK) == pytest.approx(REFEREE[name](ones), abs=1e-6)


@pytest.mark.parametrize("name", METRICS)
def test_a_weighted_metric_agrees_with_scikit_learn(name: str) -> None:
    weights = np.random.default_rng(1).gamma(1.0, size=len(LABELS))
    weights[::7] = 0
    assert value(name, LABELS, PROBABILITIES, weights, TASK) == pytest.approx(
        REFEREE[name](weights), abs=1e-6
    )


@pytest.mark.parametrize("name", METRICS)
def test_many_weights_at_once_give_what_repeated_rows_give_one_by_one(name: str) -> None:
    drawn = np.random.default_rng(2).integers(0, len(LABELS), size=(20, len(LABELS)))
    weights = np.stack([np.bincount(rows, minlength=len(LABELS)) for rows in drawn]).astype(float)
    one_by_one = [value(name, LABELS[rows], PROBABILITIES[rows], np.ones(len(rows)), TASK) for rows in drawn]
    np.testing.assert_allclose(value(name, LABELS, PROBABILITIES, weights, TASK), one_by_one, rtol=1e-12)


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.bounds])
def test_the_best_and_the_worst_answers_are_at_the_bounds(name: str) -> None:
    """Intervals are made on the scale between them."""
    labels = np.array([0, 3] * 10)
    best, worst = (value(name, labels, np.eye(5)[found], np.ones(20), TASK) for found in (labels, 3 - labels))
    low, high = sorted([best, worst])
    assert (best > worst) != METRICS[name].lower_is_better
    # Precision where all are flagged is the share of the abnormal, and not 0.
    assert (low, high) == ((0.5, 1) if name == "abnormal_average_precision" else METRICS[name].bounds)


def test_kappa_of_a_table_worked_by_hand() -> None:
    # Off the diagonal: four rows at distance 1, one at distance 2: 4·1 + 1·4 = 8.
    # By the margins (4, 3, 3) and (5, 3, 2): (12 + 15 + 6 + 9)·1 + (8 + 15)·4 = 134, of ten rows: 13.4.
    counts = np.array([[3.0, 1.0, 0.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    assert quadratic_kappa(counts, np.array([0, 1, 2])) == pytest.approx(1 - 8 / 13.4)


def test_confusing_classes_of_equal_severity_costs_no_kappa() -> None:
    swapped = np.eye(5)[[1, 0, 2, 3]]
    assert value("quadratic_kappa", np.arange(4), swapped, np.ones(4), TASK) == 1.0
    assert value("accuracy", np.arange(4), swapped, np.ones(4), TASK) == 0.5


def test_what_is_not_defined_is_not_a_number() -> None:
    plain = Task(classes=("a", "b"))
    labels, probabilities, ones = np.zeros(3, dtype=int), np.full((3, 2), 0.5), np.ones(3)
    for name in ("quadratic_kappa", "abnormal_auc", "abnormal_sensitivity", "macro_auc"):
        assert np.isnan(value(name, labels, probabilities, ones, plain))
    assert value("balanced_accuracy", labels, probabilities, ones, plain) == 1.0


def test_what_is_surely_abnormal_is_tied_whatever_float32_makes_of_its_sum() -> None:
    """Regression: images that were surely abnormal were ranked by the last bit of their sums."""
    rng = np.random.default_rng(3)
    task = Task(classes=("a", "b", "c", "d"), abnormal=("b", "c", "d"))
    sure = np.hstack([np.zeros((40, 1)), rng.dirichlet(np.ones(3), 40)])
    probabilities = np.vstack([sure, rng.dirichlet(np.ones(4), 20)]).astype(np.float32).astype(float)
    assert len(set(probabilities[:40, 1:].sum(axis=1))) > 1
    labels = rng.choice(4, 60)
    tied = np.where(probabilities[:, 0] == 0, 1, 1 - probabilities[:, 0])
    for name, theirs in (
        ("abnormal_auc", referee.roc_auc_score),
        ("abnormal_average_precision", referee.average_precision_score),
    ):
        ours = value(name, labels, probabilities, np.ones(60), task)
        assert ours == pytest.approx(theirs(labels > 0, tied), abs=1e-12)


def test_a_certain_error_costs_a_bounded_loss() -> None:
    sure = np.array([[1.0, 0.0]])
    assert value("log_loss", np.array([1]), sure, np.ones(1), Task(classes=("a", "b"))) == pytest.approx(
        7 * np.log(10)
    )
