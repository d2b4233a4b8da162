"""The batched probe against scikit-learn, one problem at a time."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from cervbench.evaluations import logistic
from cervbench.evaluations.logistic import Probes, fit

STRENGTHS = (1.0, 0.1, 0.01, 0.001)
CLASSES = 4


def collinear(rows: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features whose variances fall by a factor of ten thousand, as those of a trained encoder do."""
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, CLASSES, rows)
    hidden = draws.normal(size=(rows, width)) + draws.normal(size=(CLASSES, width))[labels] / 2
    axes = np.linalg.qr(draws.normal(size=(width, width)))[0]
    x = hidden * np.geomspace(10, 0.1, width) @ axes + 0.3
    return x.astype(np.float32), labels


def fitted(draws: list[tuple[np.ndarray, np.ndarray]], strengths: tuple[float, ...] = STRENGTHS) -> Probes:
    x, y = ([torch.from_numpy(part) for part in parts] for parts in zip(*draws, strict=True))
    return fit(x, y, CLASSES, strengths)


def theirs(x: np.ndarray, y: np.ndarray, strength: float) -> LogisticRegression:
    return LogisticRegression(C=1 / (strength * len(y)), tol=1e-9, max_iter=100_000).fit(x.astype(float), y)


def objective(probabilities: np.ndarray, weights: np.ndarray, y: np.ndarray, strength: float) -> float:
    labels = range(probabilities.shape[1])
    return float(log_loss(y, probabilities, labels=labels) + strength / 2 * (weights**2).sum())


def ours(probes: Probes, draw: int, number: int, x: np.ndarray, y: np.ndarray) -> float:
    answers = probes.probabilities(draw, number, torch.from_numpy(x)).double().numpy()
    answers /= answers.sum(1, keepdims=True)
    return objective(answers, probes.weights[draw, number].double().numpy(), y, STRENGTHS[number])


@pytest.mark.parametrize(("rows", "width"), [(300, 40), (40, 300)], ids=["more rows", "more columns"])
def test_every_strength_reaches_the_optimum_of_scikit_learn(rows: int, width: int) -> None:
    x, y = collinear(rows, width)
    probes = fitted([(x, y)])
    for number, strength in enumerate(STRENGTHS):
        model = theirs(x, y, strength)
        least = objective(model.predict_proba(x.astype(float)), model.coef_, y, strength)
        assert ours(probes, 0, number, x, y) == pytest.approx(least, rel=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_histograms_with_empty_bins_are_fitted(seed: int) -> None:
    """In float32 the eigenvectors of such features could not be computed: LAPACK did not converge."""
    draws = np.random.default_rng(seed)
    x, y = np.zeros((300, 216)), draws.integers(0, 3, 300)
    x[:, draws.choice(216, 40, replace=False)] = draws.dirichlet(np.full(40, 0.05), 300)
    x = ((x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1)).astype(np.float32)
    probes = fitted([(x, y)])
    for number, strength in enumerate(STRENGTHS):
        model = theirs(x, y, strength)
        best = objective(model.predict_proba(x.astype(float)), model.coef_, y, strength)
        assert ours(probes, 0, number, x, y) <= best * (1 + 1e-4)


def test_every_strength_answers_as_scikit_learn_on_other_images() -> None:
    x, y = collinear(1500, 40)
    probes = fitted([(x[:500], y[:500])])
    for number, strength in enumerate(STRENGTHS):
        answers = probes.probabilities(0, number, torch.from_numpy(x[500:])).numpy()
        model = theirs(x[:500], y[:500], strength)
        np.testing.assert_allclose(answers, model.predict_proba(x[500:]), atol=5e-3)
        assert np.mean(answers.argmax(1) == y[500:]) == pytest.approx(model.score(x[500:], y[500:]), abs=2e-3)


def test_draws_of_unequal_length_do_not_touch_each_other() -> None:
    draws = [collinear(90, 50, 1), collinear(40, 50, 2), collinear(87, 50, 3)]
    together = fitted(draws)
    for place, draw in enumerate(draws):
        alone = fitted([draw])
        for number in range(len(STRENGTHS)):
            reached = [ours(together, place, number, *draw), ours(alone, 0, number, *draw)]
            assert reached[0] == pytest.approx(reached[1], rel=1e-5)


def test_a_class_that_one_draw_lacks_has_no_probability_there_alone() -> None:
    x, y = collinear(120, 20)
    lacking = y != 2
    probes = fitted([(x, y), (x[lacking], y[lacking])])
    answers = [probes.probabilities(draw, 2, torch.from_numpy(x)).numpy() for draw in (0, 1)]
    assert (answers[1][:, 2] == 0).all()
    assert (answers[0][:, 2] > 0).all()
    model = theirs(x[lacking], y[lacking], STRENGTHS[2])
    np.testing.assert_allclose(answers[1][:, [0, 1, 3]], model.predict_proba(x), atol=5e-3)


def test_one_image_a_class_is_enough() -> None:
    x = np.eye(CLASSES, 30, dtype=np.float32)
    probes = fitted([(x, np.arange(CLASSES))])
    for number in range(len(STRENGTHS)):
        answers = probes.probabilities(0, number, torch.from_numpy(x)).numpy()
        assert (answers.argmax(1) == np.arange(CLASSES)).all()


def test_a_single_class_is_certain() -> None:
    x, _ = collinear(10, 5)
    probes = fitted([(x, np.full(10, 1))])
    answers = probes.probabilities(0, 0, torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(answers, np.tile(np.eye(CLASSES)[1], (10, 1)))


def test_the_same_problem_gives_the_same_bits() -> None:
    draws = [collinear(90, 50, 1), collinear(80, 50, 2)]
    first, again = fitted(draws), fitted(draws)
    assert torch.equal(first.weights, again.weights)
    assert torch.equal(first.intercepts, again.intercepts)


def test_a_probe_that_is_stopped_short_says_so_and_keeps_its_last_step(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logistic, "ITERATIONS", 1)
    x, y = collinear(300, 40)
    probes = fitted([(x, y)])
    assert f"{len(STRENGTHS)} linear probes were stopped after 1 steps" in caplog.text
    for number in range(len(STRENGTHS)):
        assert ours(probes, 0, number, x, y) < np.log(CLASSES)
