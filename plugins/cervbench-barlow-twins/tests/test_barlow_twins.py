import pytest
import torch
from cervbench_barlow_twins import Config, method
from cervbench_barlow_twins.method import MANY, BarlowTwins, barlow_twins, cross_correlation, projector
from lightly.loss import BarlowTwinsLoss
from torch import Tensor, nn

from cervbench.plugin.checks import AsItIs


def worked_example() -> tuple[Tensor, Tensor]:
    torch.manual_seed(42)
    return torch.randn(3, 3), torch.randn(3, 3)


def test_the_correlation_of_the_worked_example() -> None:
    """As the source document prints it, to its four digits."""
    printed = torch.tensor([[0.3007, 0.7353, 0.5440], [-0.9750, 0.6156, 0.7920], [-0.3346, 0.9952, 0.9397]])
    torch.testing.assert_close(cross_correlation(*worked_example()), printed, atol=6e-5, rtol=0)


def test_the_loss_of_the_worked_example() -> None:
    """Worked from the printed matrix: (1 - 0.3007)² + (1 - 0.6156)² + (1 - 0.9397)² = 0.6404, the squares
    off the diagonal sum to 3.5170, and 0.6404 + 0.005 · 3.5170 = 0.6580. The sums printed below it differ."""
    loss, parts = barlow_twins(*worked_example(), redundancy_weight=0.005)
    assert parts["invariance"].item() == pytest.approx(0.6404, abs=1e-4)
    assert parts["redundancy"].item() == pytest.approx(3.5170, abs=1e-4)
    assert loss.item() == pytest.approx(0.6580, abs=1e-4)
    assert parts["diagonal"].item() == pytest.approx((0.3007 + 0.6156 + 0.9397) / 3, abs=1e-4)


@pytest.mark.parametrize("weight", [0.005, 0.3])
def test_the_loss_and_its_gradient_are_lightlys(weight: float) -> None:
    torch.manual_seed(0)
    one, other = torch.randn(32, 24, requires_grad=True), torch.randn(32, 24)
    ours, _ = barlow_twins(one, other, weight)
    theirs = BarlowTwinsLoss(weight)(one, other)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    [our_gradient], [their_gradient] = torch.autograd.grad(ours, one), torch.autograd.grad(theirs, one)
    torch.testing.assert_close(our_gradient, their_gradient, rtol=1e-5, atol=1e-5)


def by_the_equation(one: Tensor, other: Tensor, weight: float) -> Tensor:
    a, b = ((rows - rows.mean(0)) / rows.var(0, correction=0).sqrt() for rows in (one, other))
    correlation = torch.einsum("ni,nj->ij", a, b) / len(a)
    same = torch.eye(len(correlation))
    return ((1 - correlation).square() * same).sum() + weight * (correlation.square() * (1 - same)).sum()


@pytest.mark.parametrize("width", [MANY * 32, MANY * 32 + 1, 2048])
def test_many_features_for_each_image_have_the_loss_and_gradient_of_few(width: int) -> None:
    """Where C is never made, too; lightly's epsilon moves its gradient by 1e-4 there."""
    torch.manual_seed(0)
    one, other = torch.randn(32, width, requires_grad=True), torch.randn(32, width)
    ours, _ = barlow_twins(one, other, redundancy_weight=0.3)
    precise = one.detach().double().requires_grad_()
    expected = by_the_equation(precise, other.double(), 0.3)
    assert ours.item() == pytest.approx(expected.item(), rel=1e-6)
    [gradient], [expected_gradient] = torch.autograd.grad(ours, one), torch.autograd.grad(expected, precise)
    torch.testing.assert_close(gradient.double(), expected_gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layers", [(), (8, 6)])
def test_the_method_compares_both_views_behind_the_projector(layers: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    settings = {"projector": layers, "redundancy_weight": 0.3}
    twins = BarlowTwins(Config.parse(settings, "barlow-twins"), AsItIs(12))
    one, other = torch.randn(2, 32, 12)
    projected = twins.projector(torch.cat([one, other]))
    assert projected.shape == (64, (12, *layers)[-1])
    expected, _ = barlow_twins(projected[:32], projected[32:], redundancy_weight=0.3)
    ours, _ = twins.loss((one, other))
    torch.testing.assert_close(ours, expected)


def test_the_loss_of_uncorrelated_features_that_agree_is_nothing() -> None:
    """Columns of a Hadamard matrix have mean 0, deviation 1 and no correlation."""
    features = torch.tensor([[1.0, 1, 1], [-1, 1, -1], [1, -1, -1], [-1, -1, 1]])
    loss, _ = barlow_twins(features, features, redundancy_weight=1.0)
    assert loss.item() == pytest.approx(0, abs=1e-8)


def test_features_that_say_nothing_have_a_finite_loss() -> None:
    constant = torch.full((8, 4), 3.0, requires_grad=True)
    loss, _ = barlow_twins(constant, constant, redundancy_weight=0.005)
    loss.backward()
    assert loss.item() == pytest.approx(4)
    assert constant.grad is not None
    assert torch.isfinite(constant.grad).all()


def test_low_precision_does_not_reach_the_correlation() -> None:
    """Neither C nor the products of images that stand for it, which are many times as large."""
    one, other = worked_example()
    wide, other_wide = torch.randn(2, 4, 5 * MANY)
    with torch.autocast("cpu", torch.bfloat16):
        inside, of_wide = cross_correlation(one, other), barlow_twins(wide, other_wide, 1.0)[0]
    torch.testing.assert_close(inside, cross_correlation(one, other), rtol=0, atol=0)
    torch.testing.assert_close(of_wide, barlow_twins(wide, other_wide, 1.0)[0], rtol=0, atol=0)


def test_the_projector_has_the_widths_asked_for_and_ends_linear() -> None:
    parts = projector(5, (7, 6, 4))
    assert [(part.in_features, part.out_features) for part in parts if isinstance(part, nn.Linear)] == [
        (5, 7),
        (7, 6),
        (6, 4),
    ]
    assert [type(part) for part in parts[:4]] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert isinstance(parts[-1], nn.Linear)


def test_without_layers_there_is_no_projector() -> None:
    vectors = torch.randn(3, 5)
    assert projector(5, ())(vectors) is vectors


def test_the_batch_is_that_of_all_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of each view lies here, `gather` brings the rest: mean and deviation are of the whole."""
    torch.manual_seed(0)
    one, other = torch.randn(8, 5), torch.randn(8, 5)
    elsewhere = {one[0, 0].item(): one[4:], other[0, 0].item(): other[4:]}
    monkeypatch.setattr(method, "gather", lambda rows: torch.cat([rows, elsewhere[rows[0, 0].item()]]))
    here, _ = barlow_twins(one[:4], other[:4], 0.1)
    torch.testing.assert_close(here, BarlowTwinsLoss(0.1)(one, other), rtol=1e-5, atol=1e-5)
