from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from cervbench_agbt import Config
from cervbench_agbt.method import AGBT, shared_attention
from cervbench_barlow_twins.method import barlow_twins
from lightly.loss import BarlowTwinsLoss
from torch import Tensor, nn

from cervbench.plugin.checks import AsItIs

WIDTH = 32


class Linear(nn.Linear):
    """In place of an encoder: one that can be trained."""

    width = WIDTH

    def __init__(self) -> None:
        torch.manual_seed(2)
        super().__init__(WIDTH, WIDTH)


def agbt(encoder: Any, **settings: Any) -> AGBT:
    torch.manual_seed(0)
    return AGBT(Config.model_validate({"projector": (128, 128), **settings}), encoder)


def noise(images: int = 256, around: float = 0) -> Sequence[Tensor]:
    """Two views that have nothing in common."""
    return around + torch.randn(images, WIDTH), around + torch.randn(images, WIDTH)


@pytest.mark.parametrize("weight", [0.005, 0.3])
def test_the_loss_by_the_equations_of_the_source(weight: float) -> None:
    """(4) to (8) written out with the parts of the method, and lightly's Barlow Twins loss behind them."""
    method = agbt(AsItIs(WIDTH), redundancy_weight=weight).eval()
    z1, z2 = noise()
    assert isinstance(method.attention, nn.Sequential)
    projection, to_weights = method.attention
    a1, a2 = (1 / (1 + torch.exp(-to_weights(projection(z)))) for z in (z1, z2))
    shared = torch.sqrt(a1 * a2 + 1e-6)
    loss, _ = method.loss((z1, z2))
    torch.testing.assert_close(loss, BarlowTwinsLoss(weight)(z1 * shared, z2 * shared), rtol=1e-5, atol=1e-5)


def test_both_views_pass_the_attention_in_one_batch() -> None:
    """As they pass the projector of Barlow Twins: its batch norms see both."""
    method = agbt(AsItIs(WIDTH), epsilon=0.1)
    z1, z2 = noise()
    a1, a2 = method.attention(torch.cat([z1, z2])).sigmoid().chunk(2)
    shared = torch.sqrt(a1 * a2 + 0.1)
    loss, _ = method.loss((z1, z2))
    torch.testing.assert_close(loss, BarlowTwinsLoss(0.005)(z1 * shared, z2 * shared), rtol=1e-5, atol=1e-5)


def test_of_the_projection_the_same_with_p_in_place_of_z() -> None:
    method = agbt(AsItIs(WIDTH), target="projection").eval()
    z1, z2 = noise()
    p1, p2 = method.target(z1), method.target(z2)
    assert p1.shape[1] == 128
    a1, a2 = (1 / (1 + torch.exp(-method.attention(p))) for p in (p1, p2))
    shared = torch.sqrt(a1 * a2 + 1e-6)
    loss, _ = method.loss((z1, z2))
    torch.testing.assert_close(loss, barlow_twins(p1 * shared, p2 * shared, 0.005)[0])


def test_the_shared_attention_is_an_images_own() -> None:
    """√(0.9 · 0.4) = 0.6, √(0.5 · 0.5) = 0.5, and √ε where one view attends to nothing."""
    one, other = torch.tensor([[0.9, 0.5], [0.0, 1.0]]), torch.tensor([[0.4, 0.5], [0.7, 1.0]])
    shared = shared_attention(one, other, epsilon=1e-6)
    torch.testing.assert_close(shared, torch.tensor([[0.6, 0.5], [0.001, 1.0]]), atol=1e-5, rtol=0)


def test_one_attention_for_the_whole_batch_would_cancel() -> None:
    one, other = noise()
    vector = torch.rand(WIDTH) + 0.1
    with_vector, _ = barlow_twins(one * vector, other * vector, 0.005)
    without, _ = barlow_twins(one, other, 0.005)
    torch.testing.assert_close(with_vector, without, rtol=1e-3, atol=0)


@pytest.mark.parametrize("target", ["embedding", "projection"])
@pytest.mark.parametrize(("anew", "reached"), [(False, 0.85), (True, 0.25)])
def test_the_attention_alone_makes_noise_agree(target: str, anew: bool, reached: float) -> None:
    """What to watch: the views share nothing, only the attention is trained, and yet they come to agree.

    Nor does it only learn one batch by heart: with noise drawn anew for each step they do too.
    """
    method = agbt(AsItIs(WIDTH), target=target)
    trained = torch.optim.Adam(method.attention.parameters(), lr=1e-2)
    views, before, after = noise(), [], []
    for _ in range(300):
        views = noise() if anew else views
        loss, parts = method.loss(views)
        trained.zero_grad()
        loss.backward()
        trained.step()
        before.append(parts["diagonal_before_attention"].item())
        after.append(parts["diagonal_after_attention"].item())
    assert abs(np.mean(before[-50:])) < 0.1
    assert np.mean(after[-50:]) > reached


def test_features_to_one_side_of_zero_make_it_easier_to_agree() -> None:
    """As a CNN's are: the mean that all images share is weighed, too, and so varies with the weights."""
    reached = []
    for around in (0, 3):
        method = agbt(AsItIs(WIDTH))
        trained = torch.optim.Adam(method.attention.parameters(), lr=1e-2)
        for _ in range(200):
            loss, parts = method.loss(noise(around=around))
            trained.zero_grad()
            loss.backward()
            trained.step()
        reached.append(parts["diagonal_after_attention"].item())
        assert abs(parts["diagonal_before_attention"].item()) < 0.1
    assert reached[0] < 0.7 < 0.9 < reached[1]


def mean_correlation(one: Tensor, other: Tensor) -> float:
    of_features = zip(one.detach().numpy().T, other.detach().numpy().T, strict=True)
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in of_features]))


def test_both_diagonals_are_the_mean_correlation_of_a_feature_with_itself() -> None:
    method = agbt(AsItIs(WIDTH)).eval()
    z1, z2 = noise()
    a1, a2 = method.attention(torch.cat([z1, z2])).sigmoid().chunk(2)
    shared = torch.sqrt(a1 * a2 + 1e-6)
    _, parts = method.loss((z1, z2))
    before, after = mean_correlation(z1, z2), mean_correlation(z1 * shared, z2 * shared)
    assert parts["diagonal_before_attention"].item() == pytest.approx(before, abs=1e-5)
    assert parts["diagonal_after_attention"].item() == pytest.approx(after, abs=1e-5)


@pytest.mark.parametrize("target", ["embedding", "projection"])
def test_detached_the_attention_sends_no_gradient_into_what_it_sees(target: str) -> None:
    """With the weights held constant the gradient of the encoder is the same; attached it is not."""

    def gradient(detach: bool, constant: bool) -> Tensor:
        encoder = Linear()
        method = agbt(encoder, target=target, detach=detach).eval()
        views = noise()
        if constant:
            logits = method.attention(method.target(encoder(torch.cat(list(views)))))
            method.attention = Constant(logits.detach())
        loss, _ = method.loss(views)
        loss.backward()
        assert encoder.weight.grad is not None
        return encoder.weight.grad

    torch.testing.assert_close(gradient(detach=True, constant=False), gradient(detach=False, constant=True))
    assert not torch.allclose(gradient(detach=False, constant=False), gradient(detach=False, constant=True))


class Constant(nn.Module):
    """The same answer, whatever it sees."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, _: Tensor) -> Tensor:
        return self.answer
