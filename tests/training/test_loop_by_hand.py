"""Steps of the loop worked by hand, of a stage whose gradients are given."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cervbench.data.batches import Batch, Feed, Images
from cervbench.data.views import Normalise, Pyramid, View, plain_policy
from cervbench.plugin import Progress
from cervbench.training.loop import Sitting, begin, rate_at, train
from cervbench.training.stage import Stage

GENERATOR = torch.Generator().manual_seed(0)
SLOPES = [
    (3 * torch.randn(2, 2, generator=GENERATOR), 3 * torch.randn(2, generator=GENERATOR)) for _ in range(4)
]
"""Of each step, that of the matrix and that of the bias: longer than what they are clipped to."""


class Sloped(Stage):
    sees: Literal["images"] = "images"
    learning_rate, weight_decay = 0.1, 0.2

    def __init__(self) -> None:
        super().__init__()
        self.matrix, self.bias = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
        self.losses: list[float] = []
        self.after: list[tuple[int, int, Tensor]] = []

    def views(self) -> Sequence[View]:
        return (plain_policy(),)

    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        matrix, bias = SLOPES[len(self.losses) % len(SLOPES)]
        loss = (matrix * self.matrix).sum() + (bias * self.bias).sum()
        self.losses.append(loss.item())
        return loss, {"part": loss.detach()}

    def after_step(self, progress: Progress) -> None:
        self.after.append((progress.step, progress.steps, self.bias.detach().clone()))


def feed(stage: Stage) -> Feed:
    pyramid = Pyramid(np.zeros((4, 8, 8, 3), np.uint8), 8)
    images = Images(tuple("abcd"), np.full((4, 2), 8), np.arange(4), pyramid)
    half = Normalise((0.5,) * 3, (0.5,) * 3)
    return Feed(images, stage.views(), half, 4, ("test",))


def adamw(slopes: Sequence[np.ndarray], rates: Sequence[float], decay: float) -> np.ndarray:
    weight = np.ones_like(slopes[0])
    mean, square = np.zeros_like(weight), np.zeros_like(weight)
    for step, (slope, rate) in enumerate(zip(slopes, rates, strict=True), start=1):
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        spread = np.sqrt(square / (1 - 0.999**step)) + 1e-8
        weight = weight * (1 - rate * decay) - rate * mean / (1 - 0.9**step) / spread
    return weight


def sgd(slopes: Sequence[np.ndarray], rates: Sequence[float], decay: float) -> np.ndarray:
    weight, speed = np.ones_like(slopes[0]), np.zeros_like(slopes[0])
    for slope, rate in zip(slopes, rates, strict=True):
        speed = 0.9 * speed + slope + decay * weight
        weight = weight - rate * speed
    return weight


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_steps_are_those_of_the_papers_with_gradients_clipped_together(
    optimizer: Literal["adamw", "sgd"],
) -> None:
    """In the first tenth of 40 steps. Weights decay and biases do not; both are clipped as one vector."""
    stage = Sloped()
    stage.optimizer = optimizer
    train(stage, begin(stage, Sitting()), feed(stage), 40, Sitting(), until=4)
    rates = [0.1 * (step + 1) / 4 for step in range(4)]
    norms = [math.sqrt(sum(float(slope.double().square().sum()) for slope in both)) for both in SLOPES]
    for number, (ours, decay) in enumerate(((stage.matrix, 0.2), (stage.bias, 0.0))):
        clipped = [both[number].double().numpy() / norm for both, norm in zip(SLOPES, norms, strict=True)]
        expected = {"adamw": adamw, "sgd": sgd}[optimizer](clipped, rates, decay)
        np.testing.assert_allclose(ours.detach().numpy(), expected, rtol=1e-4, atol=1e-6)
    assert min(norms) > 1


def test_after_a_step_weights_have_moved_and_the_method_is_told_how_many_are_done() -> None:
    """Else moving averages would lag behind, and a schedule by steps never come to its end."""
    stage = Sloped()
    train(stage, begin(stage, Sitting()), feed(stage), 3, Sitting())
    assert [(step, steps) for step, steps, _ in stage.after] == [(1, 3), (2, 3), (3, 3)]
    assert not torch.equal(stage.after[0][2], torch.ones(2))
    assert torch.equal(stage.after[-1][2], stage.bias)


def test_the_rate_warms_up_for_a_tenth_and_then_follows_half_a_cosine() -> None:
    """Steps that ten does not divide are rounded."""
    assert [rate_at(step, 208) for step in range(21)] == pytest.approx([(n + 1) / 21 for n in range(21)])
    assert [rate_at(21 + n, 208) for n in range(187)] == pytest.approx(
        [0.5 * (1 + math.cos(math.pi * n / 187)) for n in range(187)]
    )


def test_what_is_logged_is_the_mean_since_it_was_logged_last() -> None:
    logged: list[tuple[int, float, float]] = []

    def watch(step: int, steps: int, values: Mapping[str, float]) -> None:
        logged.append((step, values["part"], values["loss"]))

    stage, sitting = Sloped(), Sitting(watch=watch)
    train(stage, begin(stage, sitting), feed(stage), 150, sitting)
    assert [step for step, *_ in logged] == list(range(3, 151, 3))
    means = np.array(stage.losses).reshape(-1, 3).mean(axis=1)
    for place in (1, 2):
        np.testing.assert_allclose([one[place] for one in logged], means, rtol=1e-4, atol=1e-5)
