"""Intervals: the arithmetic against literal loops and textbook formulas, the claim of 95 % by simulation."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cervbench.scoring.intervals import Design, design, estimate, interval, of_one_seed, replicates
from cervbench.scoring.metrics import METRICS
from cervbench.scoring.pooling import pool, together, value


@pytest.fixture
def pooled(table, task):
    return pool([table(fold) for fold in range(3)], [0, 1, 2], task)


def interval_of(pooled, metric="balanced_accuracy"):
    plan = design(pooled)
    return interval(replicates(pooled, plan, metric), plan.folds, metric)


def test_degrees_of_freedom_are_no_fewer_than_the_fewer_of_groups_and_draws() -> None:
    """Where what is taken off is more than draws scatter, Satterthwaite's formula has next to none."""
    whole = np.array([0.0, 0.3, 0.6])
    apart = 0.2 * np.resize([1.0, -1.0], 6)[:, None] * np.array([1.0, -0.5, -0.45])
    folds = np.zeros(6, dtype=int)
    found = estimate(of_one_seed(np.vstack([whole, whole + apart]), folds), folds)
    assert found.value == pytest.approx(0.3)
    assert found.error == pytest.approx(np.sqrt(5 * apart.mean(axis=1).var()))
    assert found.freedom == 2


@pytest.mark.parametrize("metric", METRICS)
def test_leaving_a_group_out_by_weight_is_leaving_its_rows_out(pooled, metric) -> None:
    values = replicates(pooled, design(pooled), metric).mean(axis=(1, 2))
    assert values[0] == pytest.approx(value(pooled, metric))
    for place, group in enumerate(np.unique(pooled.groups)):
        literal = _with_others_standing_in(pooled, group)
        assert values[1 + place] == pytest.approx(value(literal, metric), rel=1e-12)


def _with_others_standing_in(pooled, group):
    """Rows written out: ten times in the group's own fold, which is short of one, and nine in the others."""
    own_fold = pooled.folds[pooled.groups == group][0]
    times = np.where(pooled.folds == own_fold, 10, 9) * (pooled.groups != group)
    return pooled.subset(np.repeat(np.arange(len(times)), times))


def test_of_a_plain_mean_the_error_is_the_textbooks(task) -> None:
    # One image a group, one class, one fold, one draw: accuracy is the mean of independent 0s and 1s.
    right = np.array([1.0] * 27 + [0.0] * 13)
    columns = {
        "image": np.array([f"{i:02d}" for i in range(40)]),
        "group": np.array([f"{i:02d}" for i in range(40)]),
        "label": np.array(["light"] * 40),
        "draw": np.zeros(40, dtype=int),
        "p_normal": 1 - right,
        "p_light": right,
        "p_severe": np.zeros(40),
    }
    pooled = pool([columns], [0], task)
    plan = design(pooled)
    found = estimate(replicates(pooled, plan, "accuracy"), plan.folds)
    assert found.error == pytest.approx(stats.sem(right))
    assert found.freedom == 39
    low, high = interval_of(pooled, "accuracy")
    mean, reach = right.mean(), stats.t.ppf(0.975, 39) * stats.sem(right)
    ends = [np.log(mean / (1 - mean)) + sign * reach / (mean * (1 - mean)) for sign in (-1, 1)]
    assert [low, high] == pytest.approx([1 / (1 + np.exp(-end)) for end in ends])


def test_the_error_of_crossed_groups_and_draws_is_estimated_without_bias() -> None:
    # A mean over 30 groups x 5 draws of group + draw + group-by-draw effects has a variance known exactly.
    rng = np.random.default_rng(3)
    folds = np.repeat([0, 1, 2], 10)
    plan = Design(units=np.arange(30), folds=folds)
    of_groups, of_draws, of_both = 1.0, 0.3, 1.5
    exact = of_groups**2 / 30 + of_draws**2 / 5 + of_both**2 / 150
    found = []
    for _ in range(3000):
        cells = of_groups * rng.normal(size=(30, 1)) + of_draws * rng.normal(size=(1, 5))
        cells = cells + of_both * rng.normal(size=(30, 5))
        values = plan.weights @ cells / plan.weights.sum(axis=1, keepdims=True)
        found.append(estimate(of_one_seed(values, folds), folds).error ** 2)
    # The draws' part cannot fall below 0, which lifts the mean by a few per cent.
    assert 0.97 < np.mean(found) / exact < 1.10


def crossed(cells: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """The replicates of the mean of groups × seeds × draws, by their definition, with loops."""
    groups, seeds, draws = cells.shape
    found = [cells.mean(axis=0)]
    for group in range(groups):
        fold = folds == folds[group]
        weights = np.where(fold, fold.sum() / (fold.sum() - 1), 1.0) * (np.arange(groups) != group)
        found.append(np.tensordot(weights, cells, 1) / groups)
    for fold in np.unique(folds):
        of_seed = np.empty((seeds, draws))
        for seed in range(seeds):
            others = [np.where((folds == fold)[:, None], cells[:, seed], cells[:, o]) for o in range(seeds)]
            of_seed[seed] = np.mean(others, axis=(0, 1))
        found.append(of_seed)
    return np.stack(found)


@pytest.mark.parametrize(("of_both", "highest"), [(0.0, 1.10), (0.5, 1.15)])
def test_the_error_over_seeds_and_draws_is_no_less_than_it_should_be(of_both: float, highest: float) -> None:
    """Each fold begins from a seed's numbers anew. What seeds and draws share is counted twice."""
    rng, folds = np.random.default_rng(4), np.repeat([0, 1, 2], 10)
    of_groups, of_seeds, of_draws, of_all = 1.0, 0.8, 0.3, 1.0
    exact = of_groups**2 / 30 + of_seeds**2 / 9 + of_draws**2 / 5 + of_both**2 / 45 + of_all**2 / 450
    found = []
    for _ in range(800):
        by_fold = of_seeds * rng.normal(size=(3, 3, 1)) + of_both * rng.normal(size=(3, 3, 5))
        cells = by_fold[folds] + of_groups * rng.normal(size=(30, 1, 1))
        cells = cells + of_draws * rng.normal(size=(1, 1, 5)) + of_all * rng.normal(size=(30, 3, 5))
        found.append(estimate(crossed(cells, folds), folds).error ** 2)
    assert 0.95 < np.mean(found) / exact < highest


def test_seeds_have_a_degree_of_freedom_in_every_fold() -> None:
    """Two seeds of five folds are ten trainings, and not two."""
    rng, folds = np.random.default_rng(6), np.repeat(np.arange(5), 8)
    cells = np.repeat(rng.normal(size=(5, 2, 1)), 8, axis=0)
    found = estimate(crossed(cells, folds), folds)
    per_fold = cells[::8, :, 0]
    assert found.freedom == 5
    assert found.error**2 == pytest.approx((per_fold.var(axis=1, ddof=1) / 2).sum() / 25)


def test_seeds_together_are_the_mean_over_each(pooled) -> None:
    other = replace(pooled, probabilities=pooled.probabilities[:, ::-1])
    both = together([pooled, other])
    for metric in METRICS:
        found = value(both, metric)
        assert found == pytest.approx((value(pooled, metric) + value(other, metric)) / 2)
    groups = len(np.unique(pooled.groups))
    values = replicates(both, design(both), "accuracy")
    assert values.shape == (1 + groups + 3, 2, len(pooled.draws))
    assert values[: 1 + groups, 1:] == pytest.approx(
        replicates(other, design(other), "accuracy")[: 1 + groups]
    )


@pytest.mark.parametrize("metric", METRICS)
def test_one_fold_of_a_seed_among_the_others_of_all(pooled, metric) -> None:
    other = replace(pooled, probabilities=pooled.probabilities[:, ::-1])
    both = together([pooled, other])
    values = replicates(both, design(both), metric)[-3:]
    for fold, of_seeds in zip(np.unique(pooled.folds), values, strict=True):
        for own, found in zip((pooled, other), of_seeds, strict=True):
            mixed = [
                replace(pooled, probabilities=np.where(in_fold, own.probabilities, others.probabilities))
                for others in (pooled, other)
                for in_fold in [(pooled.folds == fold)[:, None]]
            ]
            assert found.mean() == pytest.approx(np.mean([value(one, metric) for one in mixed]))


def test_seeds_that_were_tested_otherwise_are_not_put_together(pooled) -> None:
    for unlike in (
        replace(pooled, labels=pooled.labels[::-1]),
        replace(pooled, images=np.char.add(pooled.images, "x")),
        replace(pooled, draws=tuple(draw + 1 for draw in pooled.draws)),
    ):
        with pytest.raises(ValueError, match="the seeds were tested on different images"):
            together([pooled, unlike])


def test_one_answer_to_everything_has_a_balanced_accuracy_without_an_interval(pooled) -> None:
    """Regression: it stood on the page as `14.3 [14.3, 14.3]`, as if that were precise."""
    constant = replace(pooled, probabilities=np.broadcast_to([0.5, 0.3, 0.2], pooled.probabilities.shape))
    assert value(constant, "balanced_accuracy") == pytest.approx(1 / 3)
    assert interval_of(constant, "balanced_accuracy") is None
    assert interval_of(pooled, "balanced_accuracy") is not None


def test_draws_that_differ_widen_the_interval(pooled) -> None:
    steady = replace(pooled, probabilities=np.repeat(pooled.probabilities[:1], 3, axis=0))
    alone = replace(pooled, probabilities=pooled.probabilities[:1])
    assert interval_of(steady) == pytest.approx(interval_of(alone))
    swaying = steady.probabilities.copy()
    swaying[0] = np.eye(3)[steady.labels]
    swaying[1] = np.eye(3)[(steady.labels + 1) % 3]
    low, high = interval_of(replace(steady, probabilities=swaying))
    assert high - low > 0.5


def test_an_interval_is_the_same_every_time_and_stays_within_its_bounds(pooled) -> None:
    for name, metric in METRICS.items():
        low, high = interval_of(pooled, name)
        assert (low, high) == interval_of(pooled, name)
        assert low < value(pooled, name) < high
        if metric.bounds is not None:
            assert metric.bounds[0] < low
            assert high < metric.bounds[1]


def test_no_interval_is_given_where_the_data_cannot_say(pooled) -> None:
    perfect = replace(pooled, probabilities=np.eye(3)[pooled.labels][None])
    assert interval_of(perfect) is None
    one_group_a_fold = replace(pooled, groups=pooled.folds.astype(str))
    assert interval_of(one_group_a_fold) is None
    light = np.where((pooled.labels == 0) & (pooled.groups != "0-0"), 1, pooled.labels)
    one_normal_group = replace(pooled, labels=light)
    assert interval_of(one_normal_group, "abnormal_specificity") is None
    assert interval_of(one_normal_group, "abnormal_sensitivity") is not None
    with pytest.raises(ValueError, match="no metric 'acuracy'"):
        interval_of(pooled, "acuracy")


@pytest.mark.parametrize(
    ("setting", "metric"),
    [
        ("weak, labels decide", "balanced_accuracy"),
        ("middling, sessions drawn anew", "balanced_accuracy"),
        ("good, all labels", "balanced_accuracy"),
        ("middling", "abnormal_auc"),
    ],
)
def test_on_herlevs_sessions_95_per_cent_of_intervals_hold_the_truth(study, setting, metric) -> None:
    layout = study.herlev()
    chosen = next(each for each in study.SETTINGS if each.name == setting)
    repeats = 400
    covered = study.coverage(layout, chosen, [metric], repeats, seed=11)[metric].covered
    # Chance moves a count of 400 by 2.6 standard errors once in a hundred times.
    assert covered == pytest.approx(0.95, abs=2.6 * np.sqrt(0.95 * 0.05 / repeats))


def test_with_the_fewest_degrees_of_freedom_intervals_still_hold_the_truth(means) -> None:
    few = means.over_draws(15, means.Effects(0.3, 0.1, 3), repeats=2000)
    assert few.fewest > 0.2
    assert few.covered_there > 0.95
    assert few.covered > 0.95


def test_over_two_seeds_intervals_hold_the_truth(means) -> None:
    effects = means.Effects(1, 0.1, 0.5, seed=0.5, group_seed=1, seed_draw=0.1)
    covered = means.over_seeds(2, 5, effects, repeats=600, groups=40)
    assert covered > 0.95 - 2.6 * np.sqrt(0.95 * 0.05 / 600)


def test_leaving_out_what_alone_defines_a_part_of_a_mean_gives_no_interval(table, task) -> None:
    """Regression: the mean was silently taken over the classes, or the folds, that were left."""
    tables = [table(fold) for fold in range(3)]
    first = tables[0]["label"]
    first[first == "normal"] = "light"
    first[tables[0]["group"] == "0-0"] = "normal"
    pooled = pool(tables, [0, 1, 2], task)
    assert interval_of(pooled, "abnormal_auc") is None
    assert interval_of(pooled, "balanced_accuracy") is not None  # over all folds there are other normals
    for metric in ("balanced_accuracy", "macro_f1", "macro_auc"):
        assert interval_of(pool(tables[:1], [0], task), metric) is None


def by_the_printed_formula(values: np.ndarray, folds: np.ndarray) -> tuple[float, float]:
    """The variance and its degrees of freedom as docs/intervals.md has them, in plain sums."""
    whole, left_out = values[0], values[1:]
    draws = len(whole)

    def of_groups(column: np.ndarray) -> float:
        total = 0.0
        for fold in set(folds.tolist()):
            own = [column[place] for place in range(len(folds)) if folds[place] == fold]
            centre = sum(own) / len(own)
            total += (len(own) - 1) / len(own) * sum((one - centre) ** 2 for one in own)
        return total

    groups = of_groups(left_out.mean(axis=1))
    scatter = sum((one - whole.mean()) ** 2 for one in whole) / (draws - 1) / draws
    both = (sum(of_groups(left_out[:, draw]) for draw in range(draws)) / draws - groups) / (draws - 1)
    variance = groups + max(0.0, scatter - both)
    free = len(folds) - len(set(folds.tolist()))
    satterthwaite = variance**2 / (groups**2 / free + scatter**2 / (draws - 1))
    return variance, max(satterthwaite, min(free, draws - 1))


@pytest.mark.parametrize("of_draws", [0.001, 0.02, 0.2])
def test_error_and_degrees_of_freedom_are_those_of_the_printed_formula(of_draws: float) -> None:
    rng = np.random.default_rng(int(1000 * of_draws))
    folds = np.repeat([0, 1, 2], [9, 7, 12])
    whole = 0.5 + of_draws * rng.normal(size=5)
    of_group, of_both = 0.01 * rng.normal(size=(28, 1)), 0.01 * rng.normal(size=(28, 5))
    left_out = whole + 0.1 * folds[:, None] + of_group + of_both
    found = estimate(of_one_seed(np.vstack([whole, left_out]), folds), folds)
    variance, freedom = by_the_printed_formula(np.vstack([whole, left_out]), folds)
    assert found.error**2 == pytest.approx(variance, rel=1e-9)
    assert found.freedom == pytest.approx(freedom, rel=1e-9)
