import math

import numpy as np
import pytest
import torch
from cervbench_simclr import Config, PublishedConfig, method
from cervbench_simclr.method import PublishedSimCLR, SimCLR, nt_xent
from lightly.loss import NTXentLoss
from lightly.models.modules.heads import SimCLRProjectionHead
from torch import nn

from cervbench.plugin import Brightness, Flip, Gamma, Normalise, Policy, Pyramid, Rotation, Shift, Zoom
from cervbench.plugin.checks import AsItIs


def test_nt_xent_worked_by_hand() -> None:
    """Two images on the axes, both views of each the same: every view has itself left out, its partner
    at cosine 1 and two others at cosine 0."""
    views = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 4.0]])
    expected = -math.log(math.exp(1 / 0.5) / (math.exp(1 / 0.5) + 2))
    assert nt_xent(views, 0.5).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_nt_xent_is_lightlys(temperature: float) -> None:
    torch.manual_seed(0)
    one, other = torch.randn(16, 32), torch.randn(16, 32)
    theirs = NTXentLoss(temperature)(one, other)
    assert nt_xent(torch.cat([one, other]), temperature).item() == pytest.approx(theirs.item(), abs=1e-5)


def test_the_loss_is_lightlys_behind_lightlys_projector() -> None:
    """But for the batch norm in which that projector ends."""
    torch.manual_seed(0)
    simclr = SimCLR(Config.parse({"temperature": 0.3, "hidden": 8, "projection": 6}, "simclr"), AsItIs(12))
    head = SimCLRProjectionHead(12, 8, 6).layers[:-1]
    head.load_state_dict(simclr.projector.state_dict())
    one, other = torch.randn(5, 12), torch.randn(5, 12)
    theirs = NTXentLoss(0.3)(*head(torch.cat([one, other])).chunk(2))
    assert simclr.loss((one, other)).item() == pytest.approx(theirs.item(), abs=1e-5)


PRINTED = PublishedConfig.model_validate({})


def published() -> PublishedSimCLR:
    torch.manual_seed(0)
    return PublishedSimCLR(PRINTED, AsItIs(12))


def test_as_published_the_loss_is_that_of_a_dense_layer_of_64_with_relu() -> None:
    """Equation (1) of the paper term by term: minus the logarithm of a pair's share, both ways, all pairs."""
    simclr = published()
    dense, _ = simclr.projector
    assert isinstance(dense, nn.Linear)
    one, other = torch.randn(5, 12), torch.randn(5, 12)
    f = (torch.cat([one, other]) @ dense.weight.T + dense.bias).clamp(min=0).detach().double().numpy()
    assert f.shape == (10, 64)
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    near = np.exp(f @ f.T / 0.1)
    pairs = [pair for n in range(5) for pair in ((n, n + 5), (n + 5, n))]
    terms = [-math.log(near[i, j] / sum(near[i, k] for k in range(10) if k != i)) for i, j in pairs]
    assert simclr.loss((one, other)).item() == pytest.approx(sum(terms) / 10, rel=1e-5)


def test_pairs_are_kept_when_the_batch_lies_on_two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of each view lies here, and `gather` brings the other half."""
    simclr = published()
    one, other = torch.randn(6, 12), torch.randn(6, 12)
    whole = simclr.loss((one, other))
    halves = iter([simclr.projector(one[3:]), simclr.projector(other[3:])])
    monkeypatch.setattr(method, "gather", lambda rows: torch.cat([rows, next(halves)]))
    torch.testing.assert_close(simclr.loss((one[:3], other[:3])), whole)


def test_as_published_a_pair_is_the_image_itself_and_one_augmentation() -> None:
    stored = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    pixels, rows, normalise = Pyramid(stored, 32), torch.arange(4), Normalise((0.5,) * 3, (0.2,) * 3)
    rng = np.random.default_rng(1)
    views = [view.apply(pixels, rows, view.draw(rng, 4), normalise) for view in published().views()]
    itself = (torch.from_numpy(stored).permute(0, 3, 1, 2) / 255 - 0.5) / 0.2
    torch.testing.assert_close(views[0], itself)
    assert all((one - other).abs().mean() > 0.1 for one, other in zip(*views, strict=True))


def test_as_published_the_augmentation_is_the_six_operations_with_the_strengths_of_the_page() -> None:
    """Regression: with one of the six alone all tests passed."""
    assert published().views()[1] == Policy(
        (
            Flip(horizontal=0.5, vertical=0.5),
            Rotation(degrees=180),
            Shift(by=0.1),
            Zoom(factor=(0.8, 1.25)),
            Gamma(factor=(0.7, 1.4)),
            Brightness(strength=0.4),
        )
    )


def test_as_published_the_optimiser_is_the_printed_one() -> None:
    printed = {"optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 1e-5}
    assert PRINTED.model_dump(include=set(printed)) == printed


def test_the_loss_is_computed_in_float32_where_networks_are_in_bf16() -> None:
    one, other = torch.randn(2, 16, 32).bfloat16().unbind()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = nt_xent(torch.cat([one, other]), 0.1)
    exact = nt_xent(torch.cat([one.float(), other.float()]), 0.1)
    assert mixed.item() == pytest.approx(exact.item(), abs=1e-5)
