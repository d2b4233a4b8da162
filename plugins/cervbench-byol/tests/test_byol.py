from typing import Any

import pytest
import timm
import torch
from cervbench_byol import Config
from cervbench_byol.method import BYOL, regression_error
from lightly.loss import NegativeCosineSimilarity
from torch import Tensor

from cervbench.plugin import Encoder, Normalise, Progress
from cervbench.plugin.checks import small_encoder


def byol(**settings: object) -> Any:  # of its parts, tests know more than a type checker
    torch.manual_seed(0)
    config = Config.model_validate({"hidden": 16, "projection": 4, **settings})
    return BYOL(config, small_encoder())


def two_views() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    one, other = torch.randn(2, 6, 3, 32, 32, generator=generator)
    return one, other


def test_the_error_worked_by_hand() -> None:
    """Cosines 1, 0 and -1 are squared distances 0, 2 and 4 on the unit circle, whatever the lengths."""
    predicted = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    wanted = torch.tensor([[5.0, 0.0], [1.0, 0.0], [-0.5, 0.0]])
    assert regression_error(predicted, wanted).item() == pytest.approx((0 + 2 + 4) / 3, abs=1e-6)


def test_the_loss_is_four_and_four_times_lightlys_recipe() -> None:
    """lightly's documented recipe is the mean over both directions of its negative cosine."""
    method, (one, other) = byol(), two_views()
    ours = method.loss([one, other])

    criterion = NegativeCosineSimilarity()
    predictions = [method.predictor(method.projector(method.encoder(view))) for view in (one, other)]
    with torch.no_grad():
        wanted = [method.target(view) for view in (one, other)]
    lightlys = 0.5 * (criterion(predictions[0], wanted[1]) + criterion(predictions[1], wanted[0]))

    assert ours.item() == pytest.approx(4 + 4 * lightlys.item(), abs=1e-5)
    (our_slope,) = torch.autograd.grad(ours, method.predictor[-1].weight)
    (their_slope,) = torch.autograd.grad(lightlys, method.predictor[-1].weight)
    torch.testing.assert_close(our_slope, 4 * their_slope, atol=1e-5, rtol=1e-4)


def test_the_target_learns_nothing_and_follows() -> None:
    method = byol(keep=0.75, memory=1)
    method.loss(two_views()).backward()
    assert all(p.grad is None for p in method.target.parameters())
    learning = [method.encoder, method.projector, method.predictor]
    assert all(p.grad is not None for part in learning for p in part.parameters())

    before = method.target[0].backbone.conv1.weight.clone()
    with torch.no_grad():
        method.encoder.backbone.conv1.weight.add_(1.0)
    method.after_step(Progress(1, 10))
    torch.testing.assert_close(method.target[0].backbone.conv1.weight, before + 0.25)


def test_the_target_starts_as_the_online_network_and_shares_nothing_with_it() -> None:
    method = byol()
    online, target = list(method.online.parameters()), list(method.target.parameters())
    assert len(online) == len(target) > 0
    for own, follows in zip(online, target, strict=True):
        torch.testing.assert_close(own, follows, atol=0, rtol=0)
        assert own.data_ptr() != follows.data_ptr()


@pytest.mark.parametrize("name", ["resnext50_32x4d", "resnext101_32x8d"])
def test_the_source_documents_backbones_train(name: str) -> None:
    torch.manual_seed(0)
    encoder = Encoder(timm.create_model(name, num_classes=0), Normalise((0.5,) * 3, (0.5,) * 3))
    method = BYOL(Config.model_validate({}), encoder)
    views = [torch.randn(2, 3, 32, 32) for _ in range(2)]
    method.loss(views).backward()
    method.after_step(Progress(1, 200))
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.online.parameters())
