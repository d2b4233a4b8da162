"""The paired test, Holm's correction, and what is printed bold."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cervbench.scoring.comparison import best_of, compare, holm, refuse_unpaired
from cervbench.scoring.intervals import design, estimate, of_one_seed, replicates
from cervbench.scoring.pooling import pool
from cervbench.scoring.task import Task


@pytest.fixture
def make(table, task):
    """`make(share)`: 90 images of 30 groups, right with this probability, by its own chance."""

    def made(share: float, seed: int = 0, draws: int = 3):
        pooled = pool([table(fold, draws) for fold in range(3)], [0, 1, 2], task)
        right = np.random.default_rng(seed).random((draws, 90)) < share
        found = np.where(right, pooled.labels, (pooled.labels + 1) % 3)
        return replace(pooled, probabilities=np.eye(3)[found] * 0.9 + 0.1 / 3)

    return made


def compared(a, b, metric="balanced_accuracy"):
    refuse_unpaired(a, b)
    plan = design(a)
    return compare(*(replicates(pooled, plan, metric) for pooled in (a, b)), plan.folds)


def test_of_independent_images_it_is_the_paired_t_test(task) -> None:
    rng = np.random.default_rng(5)

    def one_image_a_group(seed: int):
        right = (np.random.default_rng(seed).random(60) < 0.6).astype(float)
        columns = {
            "image": np.array([f"{i:02d}" for i in range(60)]),
            "group": np.array([f"{i:02d}" for i in range(60)]),
            "label": np.array(["light"] * 60),
            "draw": np.zeros(60, dtype=int),
            "p_normal": 1 - right,
            "p_light": right,
            "p_severe": np.zeros(60),
        }
        return pool([columns], [0], task), right

    (a, right_a), (b, right_b) = (one_image_a_group(int(seed)) for seed in rng.integers(1000, size=2))
    found = compared(a, b, "accuracy")
    t = (right_a - right_b).mean() / stats.sem(right_a - right_b)
    assert found.value == pytest.approx((right_a - right_b).mean())
    assert found.p == pytest.approx(2 * stats.t.sf(abs(t), 59))
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 59) * stats.sem(right_a - right_b))


def test_swapping_the_two_turns_the_difference_round(make) -> None:
    there, back = compared(make(0.7), make(0.5, 1)), compared(make(0.5, 1), make(0.7))
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert there.p == pytest.approx(back.p)


def test_a_method_does_not_differ_from_itself(make) -> None:
    found = compared(make(0.6), make(0.6))
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_nothing_is_said_of_a_metric_that_is_undefined_nor_of_a_fold_with_a_single_group(make, task) -> None:
    one, other = make(0.8), make(0.6, 1)
    plain = Task(classes=task.classes)
    assert compared(replace(one, task=plain), replace(other, task=plain), "abnormal_auc") == (None,) * 4
    lonely = {"one": np.ones((4, 2)), "other": np.zeros((4, 2))}, np.array([0, 0, 1])
    assert compare(*lonely[0].values(), lonely[1]) == (None,) * 4
    with pytest.raises(ValueError, match="a single group"):
        best_of(*lonely, "accuracy")


def test_only_what_was_tested_alike_is_compared(make, task) -> None:
    whole = make(0.6)
    with pytest.raises(ValueError, match="30 images are in one of them only, 0-00"):
        compared(whole, whole.subset(whole.folds > 0))
    with pytest.raises(ValueError, match="one has the draws 0, 1, 2, the other 0:"):
        compared(whole, make(0.6, draws=1))
    with pytest.raises(ValueError, match="labels of the same images differ"):
        compared(whole, replace(whole, labels=(whole.labels + 1) % 3))
    unknown = replace(whole, task=Task(**task.model_dump() | {"groups_known": False}))
    with pytest.raises(ValueError, match="groups of this dataset are not known"):
        compared(unknown, unknown)
    with pytest.raises(ValueError, match="two tasks"):
        compared(whole, unknown)


def test_holm_of_the_worked_example() -> None:
    # Holm 1979: four tests; 0.005·4, 0.01·3, 0.03·2, and 0.04 lifted to the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def bold(rows, metric="balanced_accuracy"):
    plan = design(next(iter(rows.values())))
    values = {name: replicates(pooled, plan, metric) for name, pooled in rows.items()}
    return best_of(values, plan.folds, metric)


def test_bold_are_the_best_and_those_it_cannot_be_told_from(make) -> None:
    rows = {"best": make(0.8), "as good": make(0.78, 1), "worse": make(0.4, 2)}
    assert bold(rows) == {"best", "as good"}
    assert bold({"alone": make(0.4)}) == {"alone"}


def test_a_low_loss_is_the_better_one(make) -> None:
    rows = {"sure and right": make(0.95), "sure and wrong": make(0.2, 1)}
    assert bold(rows, "log_loss") == {"sure and right"}


def test_what_is_defined_nowhere_is_never_bold(make, task) -> None:
    plain = Task(classes=task.classes)
    rows = {"a": replace(make(0.8), task=plain), "b": replace(make(0.2), task=plain)}
    assert bold(rows, "abnormal_auc") == set()


def test_equally_good_methods_are_told_apart_at_most_once_in_twenty(study) -> None:
    layout = study.herlev()
    middling = next(each for each in study.SETTINGS if each.name == "middling")
    repeats = 300
    alarms = study.significant(layout, middling, 0.0, repeats, seed=12).seen
    assert alarms < 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / repeats)


def test_the_best_row_is_bold_in_95_columns_of_a_hundred(study) -> None:
    """Of equally good rows every one is the best; that each of ten is bold is not claimed."""
    layout = study.herlev()
    middling = next(each for each in study.SETTINGS if each.name == "middling")
    seen = study.bold(layout, middling, 10, 60, seed=14)
    assert seen.without < 0.05
    assert seen.some_without > seen.without


def test_the_paired_test_sees_what_intervals_that_overlap_hide(study) -> None:
    layout = study.herlev()
    middling = next(each for each in study.SETTINGS if each.name == "middling")
    found = study.significant(layout, middling, study.lift_of(layout, middling, 0.05), 60, seed=13)
    assert found.difference == pytest.approx(0.05, abs=0.015)
    assert found.seen > 5 * found.apart
    assert found.seen > 0.4


def test_p_is_students_with_the_degrees_of_freedom_of_the_estimate() -> None:
    rng = np.random.default_rng(3)
    folds = np.repeat([0, 1, 2], 8)
    of_draws = rng.normal(0.5, 0.05, (2, 4))
    a, b = (
        of_one_seed(np.vstack([whole, whole + 0.01 * rng.normal(size=(24, 4))]), folds) for whole in of_draws
    )
    found, apart = compare(a, b, folds), estimate(a - b, folds)
    assert apart.freedom < 24 - 3
    assert found.p == pytest.approx(2 * stats.t.sf(abs(apart.value) / apart.error, apart.freedom))
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, apart.freedom) * apart.error)


def test_bold_is_corrected_for_the_number_of_rows() -> None:
    """A row that alone would fall behind at 5 % stays bold where three others are tested beside it."""
    folds = np.repeat([0, 1], 20)
    rng = np.random.default_rng(0)
    noise = 0.01 * rng.normal(size=(40, 1))
    top = of_one_seed(np.vstack([[0.6], 0.6 + noise]), folds)

    def behind(by: float) -> np.ndarray:
        return of_one_seed(np.vstack([[0.6 - by], 0.6 - by + 0.01 * rng.normal(size=(40, 1))]), folds)

    close = behind(0.2)
    while compare(top, close, folds).p < 0.02:
        close = close + 0.001
    assert 0.02 <= compare(top, close, folds).p < 0.05
    near = {f"near {n}": behind(0.001) for n in range(3)}
    assert best_of({"top": top, "close": close}, folds, "balanced_accuracy") == {"top"}
    assert "close" in best_of({"top": top, "close": close, **near}, folds, "balanced_accuracy")


def test_rows_of_other_groups_are_no_pair(table, task) -> None:
    one = pool([table(fold) for fold in range(2)], [0, 1], task)
    other = replace(one, groups=np.array([f"of {name}" for name in one.images]))
    with pytest.raises(ValueError, match="groups"):
        compared(one, other)
