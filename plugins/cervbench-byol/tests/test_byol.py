from typing import Any

import pytest
import timm
import torch
from cervbench_byol import Config
from cervbench_byol.method import BYOL, regression_error
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from torch import Tensor, nn

from cervbench.plugin import Encoder, Normalise, Progress
from cervbench.plugin.checks import followed, small_encoder


def byol(**settings: object) -> Any:  # of its parts, tests know more than a type checker
    torch.manual_seed(0)
    config = Config.model_validate({"hidden": 16, "projection": 4, **settings})
    return BYOL(config, small_encoder())


def two_views() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    one, other = torch.randn(2, 6, 3, 32, 32, generator=generator)
    return one, other


def test_the_error_worked_by_hand() -> None:
    """Angles of 0, 90 and 60 degrees are squared distances of 0, 2 and 1, whatever the lengths."""
    predicted = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    wanted = torch.tensor([[5.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]])
    assert regression_error(predicted, wanted).item() == pytest.approx((0 + 2 + 1) / 3, abs=1e-6)


def test_the_loss_is_four_and_four_times_lightlys_recipe() -> None:
    """lightly's documented recipe is the mean over both directions of its negative cosine.

    The target is another network by now, so that it matters which of the two is asked; that it normalises
    by the batch, as it does before the loss is taken.
    """
    method, (one, other) = byol(), two_views()
    for parameter in method.target.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    encoder, projector = method.target.network
    wanted = [projector(encoder(view)) for view in (one, other)]
    ours = method.loss([one, other])

    criterion = NegativeCosineSimilarity()
    predictions = [method.predictor(method.projector(method.encoder(view))) for view in (one, other)]
    lightlys = 0.5 * (criterion(predictions[0], wanted[1]) + criterion(predictions[1], wanted[0]))

    assert ours.item() == pytest.approx(4 + 4 * lightlys.item(), abs=1e-5)
    (our_slope,) = torch.autograd.grad(ours, method.predictor[-1].weight)
    (their_slope,) = torch.autograd.grad(lightlys, method.predictor[-1].weight)
    torch.testing.assert_close(our_slope, 4 * their_slope, atol=1e-5, rtol=1e-4)


def test_projector_and_predictor_are_lightlys() -> None:
    """But for a bias before each batch norm, which takes it off again."""
    method = byol()
    theirs = BYOLProjectionHead(method.encoder.width, 16, 4), BYOLPredictionHead(4, 16, 4)
    for ours, head in zip((method.projector, method.predictor), theirs, strict=True):
        more = head.layers.load_state_dict(ours.state_dict(), strict=False)
        assert (more.missing_keys, more.unexpected_keys) == ([], ["0.bias"])
        vectors = torch.randn(6, ours[0].in_features)
        torch.testing.assert_close(ours(vectors), head(vectors))


def test_the_target_learns_nothing() -> None:
    method = byol()
    method.loss(two_views()).backward()
    assert all(p.grad is None for p in method.target.parameters())
    learning = [method.encoder, method.projector, method.predictor]
    assert all(p.grad is not None for part in learning for p in part.parameters())


@pytest.mark.parametrize(("rising", "kept"), [(False, 0.75), (True, 0.875)])
def test_all_of_the_target_follows(rising: bool, kept: float) -> None:
    """Half way along half a cosine, what is not kept is half of what it was."""
    method = byol(keep=0.75, memory=1, rising=rising)
    leader = nn.Sequential(method.encoder, method.projector)
    gone = followed(method.target, leader, lambda: method.after_step(Progress(5, 10)))
    assert gone == pytest.approx(1 - kept, abs=1e-5)


def test_the_source_documents_largest_backbone_trains() -> None:
    torch.manual_seed(0)
    encoder = Encoder(timm.create_model("resnext101_32x8d", num_classes=0), Normalise((0.5,) * 3, (0.5,) * 3))
    method = BYOL(Config.model_validate({}), encoder)
    views = [torch.randn(2, 3, 32, 32) for _ in range(2)]
    method.loss(views).backward()
    method.after_step(Progress(1, 200))
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.online.parameters())


def test_the_loss_is_computed_in_float32_where_networks_are_in_bf16() -> None:
    one, other = torch.randn(2, 16, 32).bfloat16().unbind()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = regression_error(one, other)
    exact = regression_error(one.float(), other.float())
    assert mixed.item() == pytest.approx(exact.item(), abs=1e-5)
