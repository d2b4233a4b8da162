"""Synthetic cells: the same everywhere, in groups with a stain of their own, and no giveaway."""

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score

from cervbench.data.cards import herlev, synthetic

ITEMS = synthetic.items(Path())


@pytest.fixture(scope="module")
def images():
    return [synthetic.CARD.read(item) for item in ITEMS]


def test_there_are_sixty_images_a_class_and_each_class_is_in_enough_groups_for_ten_bins():
    assert Counter(item.label for item in ITEMS) == synthetic.CARD.expected
    groups = defaultdict(set)
    for item in ITEMS:
        groups[item.label].add(item.group)
    assert all(len(found) >= 10 for found in groups.values())


def test_some_groups_are_of_one_class_and_some_are_mixed():
    classes = defaultdict(set)
    for item in ITEMS:
        classes[item.group].add(item.label)
    assert {len(found) for found in classes.values()} == {1, 3}


def test_an_image_is_a_function_of_its_id_alone(images):
    for row in (0, 77, 419):
        assert synthetic.CARD.read(ITEMS[row]).tobytes() == images[row].tobytes()
    assert len({image.tobytes() for image in images}) == len(images)


def test_native_sizes_vary_between_60_and_200_pixels(images):
    sides = [side for image in images for side in image.size]
    assert min(sides) >= 60
    assert max(sides) <= 200
    assert len(set(sides)) > 80


def test_images_of_a_group_share_a_stain(images):
    """Variance of hue between groups is far above what images drawn into groups at random would show."""
    colour = np.array([np.asarray(image).reshape(-1, 3).mean(0) for image in images])
    hue = colour[:, 0] / colour.sum(1)
    by_group = hue.reshape(synthetic.GROUPS, synthetic.IMAGES_PER_GROUP)
    shuffled = np.random.default_rng(0).permutation(hue).reshape(by_group.shape)
    assert by_group.mean(1).var() > 3 * shuffled.mean(1).var()


def test_size_and_mean_colour_say_next_to_nothing_of_the_class(images):
    hints = [[*image.size, *np.asarray(image).reshape(-1, 3).mean(0)] for image in images]
    assert balanced_accuracy(hints) < 2 / len(synthetic.CLASSES)


def test_the_pixels_say_more(images):
    small = [np.asarray(image.resize((12, 12))).ravel() for image in images]
    assert balanced_accuracy(small) > 2.5 / len(synthetic.CLASSES)


def test_names_and_order_are_herlevs():
    assert synthetic.CARD.classes == herlev.CARD.classes
    assert synthetic.CARD.abnormal == herlev.CARD.abnormal


def balanced_accuracy(features):
    forest = RandomForestClassifier(60, random_state=0)
    folds = StratifiedGroupKFold(3, shuffle=True, random_state=0)
    labels, groups = [item.label for item in ITEMS], [item.group for item in ITEMS]
    return cross_val_score(
        forest, np.array(features), labels, groups=groups, cv=folds, scoring="balanced_accuracy"
    ).mean()
