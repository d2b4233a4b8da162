from typing import Any

import pytest
import torch
from cervbench_simsiam import Config
from cervbench_simsiam.method import SimSiam, negative_cosine, spread
from lightly.loss import NegativeCosineSimilarity
from torch import Tensor, nn

from cervbench.plugin import Encoder, Normalise


class Tiny(nn.Module):
    num_features = 8

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)

    def forward_features(self, images: Tensor) -> Tensor:
        return self.norm(self.conv(images)).relu()


def simsiam() -> Any:  # of its parts, tests know more than a type checker
    torch.manual_seed(0)
    return SimSiam(
        Config.model_validate({"projection": 8, "hidden": 4}),
        Encoder(Tiny(), Normalise((0.5,) * 3, (0.5,) * 3)),
    )


def test_the_negative_cosine_worked_by_hand() -> None:
    """Angles of 0, 60 and 180 degrees, whatever the lengths."""
    predicted = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    wanted = torch.tensor([[5.0, 0.0], [0.5, 0.75**0.5], [0.0, -1.0]])
    assert negative_cosine(predicted, wanted).item() == pytest.approx(-(1 + 0.5 - 1) / 3, abs=1e-6)


def test_the_loss_and_its_gradient_are_those_of_lightlys_recipe() -> None:
    method = simsiam()
    one, other = torch.randn(6, 3, 9, 9), torch.randn(6, 3, 9, 9)
    ours, _ = method.loss([one, other])

    criterion = NegativeCosineSimilarity()
    first, second = (method.projector(method.encoder(view)) for view in (one, other))
    theirs = 0.5 * (
        criterion(method.predictor(first), second.detach())
        + criterion(method.predictor(second), first.detach())
    )
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    conv = method.encoder.backbone.conv.weight
    (our_slope,), (their_slope,) = torch.autograd.grad(ours, conv), torch.autograd.grad(theirs, conv)
    torch.testing.assert_close(our_slope, their_slope, atol=1e-6, rtol=1e-4)


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
    views = [torch.randn(6, 3, 9, 9) for _ in range(2)]
    _, parts = method.loss(views)
    projected = method.projector(method.encoder(views[0])).detach()
    unit = (projected / projected.norm(dim=1, keepdim=True)).numpy()
    expected = unit.std(axis=0).mean() * 8**0.5
    assert parts["projection_spread"].item() == pytest.approx(expected, abs=1e-5)
