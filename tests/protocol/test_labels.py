from collections import Counter

import numpy as np
import pytest

from cervbench.protocol.folds import frozen
from cervbench.protocol.labels import uncovered
from cervbench.protocol.protocol import load_rules

RULES = load_rules().labels


@pytest.fixture(params=[(fold, draw) for fold in (0, 3) for draw in (0, 4)])
def seen(request: pytest.FixtureRequest) -> dict[int, set[int]]:
    """Rows of Herlev whose labels are seen in a fold's train, by ratio."""
    fold, draw = request.param
    manifest = frozen("herlev")
    rows = manifest.fold(fold).train
    return {r: set(uncovered(manifest.labels, manifest.orders[:, draw], rows, r)) for r in RULES.ratios}


def test_orders_are_nested(seen: dict[int, set[int]]) -> None:
    for less, more in zip(RULES.ratios, RULES.ratios[1:], strict=False):
        assert seen[less] < seen[more]


def test_the_least_ratio_shows_one_of_each_class(seen: dict[int, set[int]]) -> None:
    labels = frozen("herlev").labels
    assert Counter(labels[row] for row in seen[1]) == dict.fromkeys(set(labels), 1)


def test_ratios_are_shares_of_the_images(seen: dict[int, set[int]]) -> None:
    total = len(seen[100])
    for ratio in (5, 10, 25, 50):
        assert len(seen[ratio]) == round(total * ratio / 100)


def test_classes_keep_their_proportions(seen: dict[int, set[int]]) -> None:
    labels = frozen("herlev").labels
    whole = Counter(labels[row] for row in seen[100])
    half = Counter(labels[row] for row in seen[50])
    for name, count in whole.items():
        assert abs(half[name] - count / 2) <= 1


def test_draws_differ_from_each_other() -> None:
    manifest = frozen("herlev")
    rows = manifest.fold(0).train
    shown = [frozenset(uncovered(manifest.labels, manifest.orders[:, d], rows, 10)) for d in range(5)]
    assert len(set(shown)) == 5
    overlap = np.mean([len(shown[0] & other) / len(shown[0]) for other in shown[1:]])
    assert overlap < 0.3  # a tenth by chance


def test_an_order_is_a_permutation() -> None:
    manifest = frozen("herlev")
    for draw in range(5):
        assert sorted(manifest.orders[:, draw]) == list(range(917))


def test_unlabelled_rows_are_never_uncovered() -> None:
    labels = ["a", "", "b", "", "a", "b"]
    assert set(uncovered(labels, np.arange(6), np.arange(6), 100)) == {0, 2, 4, 5}


def test_with_all_labels_there_is_one_draw() -> None:
    assert [RULES.draws_at(ratio) for ratio in RULES.ratios] == [5, 5, 5, 5, 5, 1]


def test_an_evaluation_may_ask_for_fewer_draws_and_never_for_more() -> None:
    assert [RULES.draws_at(ratio, 2) for ratio in RULES.ratios] == [2, 2, 2, 2, 2, 1]
    assert RULES.draws_at(1, 9) == RULES.draws_at(1, 0) == RULES.draws_at(1) == 5


def test_below_ten_per_cent_no_label_of_val_is_seen() -> None:
    assert [ratio for ratio in RULES.ratios if not RULES.sees_val(ratio)] == [1, 5]
