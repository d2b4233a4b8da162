"""Rank and spread, on vectors whose values can be worked out by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter

from cervbench.data.batches import Images
from cervbench.data.parts import opaque
from cervbench.data.views import Pyramid
from cervbench.plugin.checks import small_encoder
from cervbench.training.collapse import RankAndSpread, collapsed, rank_and_spread
from cervbench.training.feature_rank import measuring_batches, rank_and_spread_of


def observed(found: RankAndSpread) -> dict[str, float]:
    """As a record has them."""
    return {"feature_rank": found.rank, "feature_spread": found.spread}


def test_vectors_along_equal_axes_use_as_many_directions_as_there_are_axes() -> None:
    axes = np.vstack([np.eye(6), -np.eye(6)])
    measured = rank_and_spread(axes)
    assert measured.rank == pytest.approx(6)
    # Of twelve unit vectors two have ±1 on an axis: its deviation is sqrt(2/12), times the root of six.
    assert measured.spread == pytest.approx(1)
    assert not collapsed(observed(measured))


def test_two_singular_values_of_three_to_one_have_the_rank_of_their_entropy() -> None:
    vectors = np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert rank_and_spread(vectors).rank == pytest.approx(np.exp(entropy), abs=0.005)


def test_vectors_on_a_line_have_collapsed_though_they_are_far_apart() -> None:
    line = np.linspace(-1, 1, 50)[:, None] * np.array([1.0, 2.0, 3.0])
    measured = rank_and_spread(line)
    assert measured.rank == 1
    assert collapsed(observed(measured))


def test_vectors_that_are_all_one_have_collapsed() -> None:
    measured = rank_and_spread(np.ones((20, 8), dtype=np.float32))
    assert measured == (1, 0)
    assert collapsed(observed(measured))


def test_nearly_one_direction_has_collapsed_whatever_its_rank() -> None:
    vectors = 1 + 1e-3 * np.random.default_rng(0).normal(size=(100, 16))
    measured = rank_and_spread(vectors)
    assert measured.rank > 10
    assert collapsed(observed(measured))


def test_what_has_no_encoder_cannot_collapse() -> None:
    assert not collapsed({"pretext_steps": 0})


def test_what_the_encoder_made_last_is_looked_at_while_it_trains_and_not_after() -> None:
    encoder = nn.Identity()
    axes = torch.cat([torch.eye(6), -torch.eye(6)])
    with measuring_batches(encoder) as measure:
        assert measure() == {}
        encoder(torch.ones(20, 6))
        assert measure() == {"batch_rank": 1, "batch_spread": 0}
        encoder(axes.bfloat16())
        assert measure()["batch_rank"] == pytest.approx(6)
        encoder(axes.clone().requires_grad_())
        assert measure()["batch_spread"] == pytest.approx(1)
    assert not encoder._forward_hooks


def test_a_compiled_encoder_that_is_looked_at_is_compiled_once() -> None:
    """Regression: what was kept of the first step made the second another case, to be compiled anew."""
    graphs = CompileCounter()
    encoder = nn.Linear(3, 2)
    compiled = torch.compile(encoder, backend=graphs)
    with measuring_batches(encoder) as measure:
        for _ in range(3):
            compiled(torch.randn(8, 3))
        assert measure() != {}
    assert graphs.frame_count == 1


def test_what_an_encoder_is_measured_on_does_not_depend_on_the_order_of_the_pack() -> None:
    """That may be the order of classes, of which the first 512 images would hold the first."""
    pixels = np.random.default_rng(0).integers(0, 100, (600, 32, 32, 3), dtype=np.uint8)
    pixels[400:] += 120
    encoder = small_encoder().eval()

    def measured(order: np.ndarray) -> dict[str, float]:
        pyramid = Pyramid(pixels[order], 32, torch.device("cpu"))
        ids = tuple(opaque(str(number)) for number in order)
        images = Images(ids, np.full((600, 2), 32), np.arange(600), pyramid)
        return rank_and_spread_of(method, images, "")

    method: Any = SimpleNamespace(
        encoder=encoder, features=lambda pixels, _: encoder(pixels), eval=lambda: None
    )
    there, back = measured(np.arange(600)), measured(np.arange(600)[::-1])
    assert there == pytest.approx(back, rel=1e-4)
