"""The frozen evaluations against scikit-learn, on features made for the purpose."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from cervbench.data.batches import Examples, Images, Labelled
from cervbench.evaluations import LinearSettings, NeighbourSettings, cervbench_evaluations, knn, linear
from cervbench.plugin import features as vectors_module
from cervbench.plugin.problems import AnswerError
from cervbench.protocol.protocol import TIERS, load

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 300)
FEATURES = np.eye(3)[LABELS] @ RNG.normal(size=(3, 20)) + 1.5 * RNG.normal(size=(300, 20)) + 7
TRAIN, VAL, TEST = np.arange(180), np.arange(180, 220), np.arange(220, 300)
CPU = torch.device("cpu")
TRAINED: Any = SimpleNamespace(device=CPU, features=lambda images: FEATURES[images.rows].astype(np.float32))


def images(rows: np.ndarray) -> Images:
    none: Any = None
    return Images(tuple(f"i{row}" for row in rows), np.ones((len(rows), 2)), rows, none)


def labelled(ratio: int = 100, train: np.ndarray = TRAIN, val: np.ndarray = VAL, draw: int = 0) -> Labelled:
    examples = [Examples(images(rows), LABELS[rows]) for rows in (train, val)]
    return Labelled(("a", "b", "c"), ratio, draw, *examples, images(TRAIN))


def probe(strength: float = 1e-2, grid: tuple[float, ...] = ()) -> LinearSettings:
    return LinearSettings(strength=strength, grid=grid, select_from=25)


OF_DRAWS = [np.arange(90), np.arange(40, 110)]
"""Train images that two draws uncover the labels of: others, and not all."""
TWO_DRAWS = [labelled(10, rows, draw=draw) for draw, rows in enumerate(OF_DRAWS)]


def answers(columns: Any, draw: int = 0) -> np.ndarray:
    return np.stack([columns[f"p_{name}"][columns["draw"] == draw] for name in "abc"], 1)


def standardised() -> np.ndarray:
    vectors = FEATURES.astype(np.float32).astype(np.float64)
    return StandardScaler().fit(vectors[TRAIN]).transform(vectors)


def test_the_probe_is_logistic_regression_on_standardised_features() -> None:
    settings = probe(strength=0.03)
    x = standardised()
    theirs = LogisticRegression(C=1 / (0.03 * 180), tol=1e-8, max_iter=10000).fit(x[TRAIN], LABELS[TRAIN])
    ours = answers(linear.predict(TRAINED, [labelled()], images(TEST), settings))
    np.testing.assert_allclose(ours, theirs.predict_proba(x[TEST]), atol=5e-4)


def test_each_draw_is_probed_with_its_own_labels_on_vectors_standardised_over_all_train_images() -> None:
    x, settings = standardised(), probe(strength=0.03)
    columns = linear.predict(TRAINED, TWO_DRAWS, images(TEST), settings)
    for draw, rows in enumerate(OF_DRAWS):
        theirs = LogisticRegression(C=1 / (0.03 * len(rows)), tol=1e-8, max_iter=10000)
        theirs.fit(x[rows], LABELS[rows])
        np.testing.assert_allclose(answers(columns, draw), theirs.predict_proba(x[TEST]), atol=2e-3)


def test_the_strength_is_the_one_with_the_least_log_loss_on_val() -> None:
    grid = (1e-4, 1e-2, 1.0, 100.0)
    x = standardised()
    fits = [
        LogisticRegression(C=1 / (s * 180), tol=1e-8, max_iter=10000).fit(x[TRAIN], LABELS[TRAIN])
        for s in grid
    ]
    losses = [log_loss(LABELS[VAL], fit.predict_proba(x[VAL])) for fit in fits]
    best = fits[int(np.argmin(losses))]
    ours = answers(linear.predict(TRAINED, [labelled()], images(TEST), probe(grid=grid)))
    np.testing.assert_allclose(ours, best.predict_proba(x[TEST]), atol=1e-3)


@pytest.mark.parametrize(("ratio", "chosen"), [(10, 1e3), (25, 1e-2)])
def test_the_strength_is_chosen_from_the_ratio_on_that_is_set(ratio: int, chosen: float) -> None:
    by_val = probe(strength=1e3, grid=(1e-2,))
    fixed = probe(strength=chosen)
    ours, theirs = (linear.predict(TRAINED, [labelled(ratio)], images(TEST), s) for s in (by_val, fixed))
    np.testing.assert_array_equal(answers(ours), answers(theirs))


@pytest.mark.parametrize("case", ["few labels", "no val"])
def test_the_strength_is_fixed_where_val_may_not_be_seen(case: str) -> None:
    seen = labelled(10) if case == "few labels" else labelled(100, val=VAL[:0])
    grid = probe(strength=0.03, grid=(1e-4, 100.0))
    fixed = probe(strength=0.03)
    ours, theirs = (answers(linear.predict(TRAINED, [seen], images(TEST), s)) for s in (grid, fixed))
    np.testing.assert_array_equal(ours, theirs)


def test_a_class_without_a_label_gets_no_probability() -> None:
    train = TRAIN[LABELS[TRAIN] != 1]
    ours = answers(linear.predict(TRAINED, [labelled(10, train)], images(TEST), probe()))
    assert (ours[:, 1] == 0).all()
    np.testing.assert_allclose(ours.sum(1), 1, atol=1e-6)


def test_neighbours_are_those_of_scikit_learn_for_each_draw_among_its_own_labels() -> None:
    """Weighed by exp(similarity / 0.07), as in Wu et al., CVPR 2018."""
    x, settings = standardised(), NeighbourSettings(neighbours=9)
    columns = knn.predict(TRAINED, TWO_DRAWS, images(TEST), settings)
    for draw, rows in enumerate(OF_DRAWS):
        theirs = KNeighborsClassifier(9, metric="cosine", weights=lambda apart: np.exp(-apart / 0.07))
        theirs.fit(x[rows], LABELS[rows])
        np.testing.assert_allclose(answers(columns, draw), theirs.predict_proba(x[TEST]), atol=1e-5)


def test_of_tied_neighbours_the_first_are_nearer_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    twins = np.concatenate([TRAIN, TRAIN])
    features = FEATURES.astype(np.float32)
    seen = labelled(100, train=TRAIN)
    object.__setattr__(
        seen, "train", Examples(images(twins), np.concatenate([LABELS[TRAIN], 1 - LABELS[TRAIN] % 2]))
    )
    trained: Any = SimpleNamespace(device=CPU, features=lambda images: features[images.rows])
    one = NeighbourSettings(neighbours=1)
    whole = answers(knn.predict(trained, [seen], images(TEST), one))
    monkeypatch.setattr(knn, "BLOCK", 7 * len(twins))
    np.testing.assert_array_equal(whole, answers(knn.predict(trained, [seen], images(TEST), one)))
    alone = answers(knn.predict(trained, [labelled()], images(TEST), one))
    np.testing.assert_array_equal(whole, alone)


def test_vectors_are_standardised_as_by_scikit_learn_whatever_the_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vectors_module, "BLOCK", 7)
    ours = vectors_module.Standardised(TRAINED, images(TRAIN))(images(TEST))
    assert ours.dtype == torch.float32
    np.testing.assert_allclose(ours.numpy(), standardised()[TEST], atol=1e-6)


def test_there_are_never_more_neighbours_than_the_smallest_class_has() -> None:
    few = np.concatenate([TRAIN[LABELS[TRAIN] == 0][:2], TRAIN[LABELS[TRAIN] > 0]])
    ours = knn.predict(TRAINED, [labelled(10, few)], images(TEST), NeighbourSettings(neighbours=20))
    assert (np.count_nonzero(answers(ours), axis=1) <= 2).all()


def test_each_draw_is_answered_for_each_test_image() -> None:
    columns = linear.predict(TRAINED, TWO_DRAWS, images(TEST), probe())
    assert list(zip(columns["draw"], columns["image"], strict=True)) == [
        (draw, f"i{row}") for draw in (0, 1) for row in TEST
    ]


@pytest.mark.parametrize("shape", [(80, 6), (80, 2), (80,), (79, 3), (80, 3, 1)])
def test_answers_that_are_not_a_row_an_image_and_a_column_a_class_are_refused(shape: tuple[int, ...]) -> None:
    """Regression: surplus columns were cut off, and a missing one was an index out of range."""
    with pytest.raises(AnswerError, match=r"in draw 0 are of shape .*where \(80, 3\) is due.*classes_"):
        vectors_module.one_answer_a_draw(TWO_DRAWS, images(TEST), lambda seen: np.zeros(shape))


@pytest.mark.parametrize("tier", TIERS)
def test_settings_have_no_value_beside_the_protocols(tier: str) -> None:
    """Regression: a default strength stood in the code that no tier has and no run used."""
    for name, offer in cervbench_evaluations().items():
        fixed = load(tier).settings_of("cervbench", name)
        assert all(field.is_required() for field in offer.settings.model_fields.values())
        assert set(offer.settings.parse(fixed, name).model_dump()) == set(fixed)


def test_features_without_any_spread_give_the_shares_of_the_classes() -> None:
    blank: Any = SimpleNamespace(device=CPU, features=lambda images: np.zeros((len(images), 1), np.float32))
    ours = answers(linear.predict(blank, [labelled()], images(TEST), probe(strength=0.1)))
    shares = np.bincount(LABELS[TRAIN]) / len(TRAIN)
    np.testing.assert_allclose(ours, np.tile(shares, (len(TEST), 1)), atol=1e-3)


def test_each_draw_chooses_its_strength_by_its_own_val_images_and_its_own_probe() -> None:
    """In the second draw classes are called otherwise: by the first one's probe, or of its images, all
    penalties are wrong, and the strongest least so."""

    def called(rows: np.ndarray, shift: int) -> Examples:
        return Examples(images(rows), (LABELS[rows] + shift) % 3)

    draws = [
        replace(labelled(25, draw=draw), train=called(rows, draw), val=called(VAL[20 * draw :][:20], draw))
        for draw, rows in enumerate(OF_DRAWS)
    ]
    chosen = linear.predict(TRAINED, draws, images(TEST), probe(grid=(0.01, 100.0)))
    for seen in draws:
        fixed = linear.predict(TRAINED, [seen], images(TEST), probe(strength=0.01))
        np.testing.assert_allclose(answers(chosen, seen.draw), answers(fixed, seen.draw), atol=1e-3)


def test_cosines_that_differ_by_rounding_alone_are_tied() -> None:
    """The first in the order of images is the neighbour then, on every processor."""
    cosine = torch.tensor([[0.5, 0.5 + 6e-8, 0.1]])
    assert knn._votes(cosine, torch.eye(3, dtype=torch.long), 1).tolist() == [[1.0, 0.0, 0.0]]
