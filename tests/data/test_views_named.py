"""Policies by name: those that the study of augmentations sets side by side."""

from typing import get_args

import pytest

from cervbench.data.views import (
    POLICIES,
    Blur,
    Brightness,
    Contrast,
    Crop,
    Elastic,
    Equalise,
    Flip,
    Greyscale,
    Hue,
    Policy,
    Rotation,
    Saturation,
    Sharpen,
    Speckle,
    Together,
    named_policy,
)
from cervbench.plugin import settings

GROUPS = {
    "A": set(),
    "B": {Brightness, Contrast, Saturation, Hue, Equalise},
    "C": {Elastic},
    "D": {Blur, Speckle},
    "E": {Blur, Sharpen},
}


def kinds(name: str) -> set[type]:
    return {type(part) for operation in named_policy(name).operations for part in operation.simple}


def test_the_baseline_crops_and_flips_and_does_not_turn() -> None:
    assert {kind.__name__ for kind in kinds("A")} == {"Crop", "Flip"}


@pytest.mark.parametrize("name", GROUPS)
def test_each_other_policy_is_the_baseline_and_one_group(name: str) -> None:
    baseline = named_policy("A").operations
    assert named_policy(name).operations[: len(baseline)] == baseline
    assert kinds(name) - kinds("A") == GROUPS[name]


def test_what_they_share_with_the_default_has_its_values() -> None:
    default = named_policy("simclr").operations
    for name in GROUPS:
        theirs = {type(operation): operation for operation in named_policy(name).operations}
        shared = [operation for operation in default if type(operation) in theirs]
        assert shared == [theirs[type(operation)] for operation in shared]


def test_the_default_is_simclrs_with_all_turns_and_mirrors_of_a_square() -> None:
    jitter = Together((Brightness(0.4), Contrast(0.4), Saturation(0.2), Hue(0.1)), p=0.8)
    turned = (Crop(scale=(0.2, 1.0)), Flip(), Rotation(step=90))
    assert named_policy("simclr") == Policy((*turned, jitter, Greyscale(p=0.2), Blur()))


def test_a_name_that_is_none_is_answered_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="'F'; there are simclr, A, B, C, D, E"):
        named_policy("F")


def test_a_setting_may_name_each_policy_and_no_other() -> None:
    assert set(get_args(settings.ViewPolicy)) == set(POLICIES)


def test_their_values_are_those_of_the_page() -> None:
    baseline = (Crop(scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3)), Flip(0.5, 0.5))
    jitter = Together((Brightness(0.4), Contrast(0.4), Saturation(0.2), Hue(0.1)), p=0.8)
    blur = Blur(sigma=(0.1, 2.0), p=0.5)
    assert {name: named_policy(name) for name in GROUPS} == {
        "A": Policy(baseline),
        "B": Policy((*baseline, jitter, Equalise(p=0.5))),
        "C": Policy((*baseline, Elastic(alpha=(50, 50), sigma=5, p=0.5))),
        "D": Policy((*baseline, blur, Speckle(sigma=(0.1, 0.1), p=0.5))),
        "E": Policy((*baseline, blur, Sharpen(factor=(2, 2), p=0.5))),
    }
