from typing import Any

import pytest
import torch
from cervbench_simsiam import Config
from cervbench_simsiam.method import SimSiam, negative_cosine, spread
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import SimSiamPredictionHead, SimSiamProjectionHead

from cervbench.plugin.checks import small_encoder


def simsiam() -> Any:  # of its parts, tests know more than a type checker
    torch.manual_seed(0)
    return SimSiam(Config.model_validate({"projection": 8, "hidden": 4}), small_encoder())


def test_the_negative_cosine_worked_by_hand() -> None:
    """Angles of 0, 60 and 180 degrees, whatever the lengths."""
    predicted = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    wanted = torch.tensor([[5.0, 0.0], [0.5, 0.75**0.5], [0.0, -1.0]])
    assert negative_cosine(predicted, wanted).item() == pytest.approx(-(1 + 0.5 - 1) / 3, abs=1e-6)


def test_the_loss_and_its_gradient_are_those_of_lightlys_recipe() -> None:
    method = simsiam()
    one, other = torch.randn(2, 6, 3, 32, 32)
    ours, _ = method.loss([one, other])

    criterion = NegativeCosineSimilarity()
    first, second = (method.projector(method.encoder(view)) for view in (one, other))
    theirs = 0.5 * (
        criterion(method.predictor(first), second.detach())
        + criterion(method.predictor(second), first.detach())
    )
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    conv = method.encoder.backbone.conv1.weight
    (our_slope,), (their_slope,) = torch.autograd.grad(ours, conv), torch.autograd.grad(theirs, conv)
    torch.testing.assert_close(our_slope, their_slope, atol=1e-6, rtol=1e-4)


def test_projector_and_predictor_are_lightlys() -> None:
    method = simsiam()
    theirs = SimSiamProjectionHead(method.encoder.width, 8, 8), SimSiamPredictionHead(8, 4, 8)
    for ours, head in zip((method.projector, method.predictor), theirs, strict=True):
        head.layers.load_state_dict(ours.state_dict())
        vectors = torch.randn(6, ours[0].in_features)
        torch.testing.assert_close(ours(vectors), head(vectors))


def test_no_gradient_flows_into_what_is_wanted() -> None:
    predicted, wanted = (torch.randn(4, 3, requires_grad=True) for _ in range(2))
    negative_cosine(predicted, wanted).backward()
    assert predicted.grad is not None
    assert wanted.grad is None


def test_the_spread_is_nought_when_all_are_one_and_one_when_they_point_everywhere() -> None:
    torch.manual_seed(0)
    assert spread(torch.randn(1, 64).expand(100, 64)).item() == pytest.approx(0, abs=1e-3)
    assert spread(torch.randn(4000, 64)).item() == pytest.approx(1, abs=1e-2)


def test_the_spread_of_the_projections_is_logged() -> None:
    method = simsiam()
    views = torch.randn(2, 6, 3, 32, 32).unbind()
    _, parts = method.loss(views)
    projected = method.projector(method.encoder(views[0])).detach()
    unit = (projected / projected.norm(dim=1, keepdim=True)).numpy()
    expected = unit.std(axis=0).mean() * 8**0.5
    assert parts["projection_spread"].item() == pytest.approx(expected, abs=1e-5)


def test_the_loss_is_computed_in_float32_where_networks_are_in_bf16() -> None:
    one, other = torch.randn(2, 16, 32).bfloat16().unbind()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = negative_cosine(one, other)
    exact = negative_cosine(one.float(), other.float())
    assert mixed.item() == pytest.approx(exact.item(), abs=1e-5)
