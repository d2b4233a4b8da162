"""What a method inherits, and what it may not put in the place of it."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cervbench.plugin import Method, MethodConfig, PretextConfig, decayed_apart, in_float32, named_policy

NAMES = ("build", "views", "loss", "after_step", "param_groups", "classifier", "features", "config")
VALUES: dict[str, Callable[[], Any]] = {
    "module": nn.MSELoss,
    "parameter": lambda: nn.Parameter(torch.zeros(2)),
    "tensor": lambda: torch.zeros(2),
    "function": lambda: nn.functional.mse_loss,
    "number": lambda: 2,
}


class Learner(Method):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        return self.encoder(views[0]).square().mean()


def learner(**settings: Any) -> Learner:
    encoder: Any = nn.Linear(3, 2)
    return Learner(MethodConfig.parse(settings, "learner"), encoder)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_takes_the_place_of_a_name_of_the_contract(name: str, value: str) -> None:
    """Regression: functions, numbers and tensors did, and the training failed far away."""
    method = learner()
    with pytest.raises(AttributeError, match=rf"Learner assigns self\.{name}, .*self\.own_{name}"):
        setattr(method, name, VALUES[value]())
    setattr(method, f"own_{name}", VALUES[value]())


@pytest.mark.parametrize("policy", ["simclr", "D"])
def test_a_method_that_says_nothing_of_views_has_two_of_the_policy_that_is_set(policy: str) -> None:
    assert list(learner(policy=policy).views()) == [named_policy(policy)] * 2


def test_a_method_without_a_policy_must_say_what_its_views_are() -> None:
    encoder: Any = nn.Linear(3, 2)
    with pytest.raises(TypeError, match=r"Learner must define views\(\)"):
        Learner(PretextConfig(), encoder).views()


def test_a_part_may_be_decayed_apart_at_a_rate_of_its_own() -> None:
    part = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    decayed, spared = ({**group, "lr": 0.5} for group in decayed_apart(part, 0.1))
    assert [p.shape for p in decayed["params"]] == [(2, 3)]
    assert [p.shape for p in spared["params"]] == [(2,)] * 3
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0)


def similarities(unit: Tensor, others: Tensor, times: Tensor) -> Tensor:
    return unit @ others.T * times


@pytest.mark.parametrize("named", [False, True])
def test_a_product_in_float32_has_all_its_digits_in_the_midst_of_bf16(named: bool) -> None:
    one, other = torch.rand(2, 5, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    times = torch.tensor(2)
    exact = 2 * one.double() @ other.double().T
    with torch.autocast("cpu", torch.bfloat16):
        coarse = similarities(one, other, times)
        if named:
            fine = in_float32(similarities)(unit=one, others=other, times=times)
        else:
            fine = in_float32(similarities)(one, other, times)
    assert fine.dtype == torch.float32
    torch.testing.assert_close(fine.double(), exact, rtol=1e-6, atol=0)
    assert (coarse.double() - exact).abs().max() > 1e-3
    assert torch.equal(times, torch.tensor(2))


def test_a_gradient_finds_its_way_back_through_float32() -> None:
    rows = torch.rand(4, 8, dtype=torch.bfloat16, requires_grad=True)
    in_float32(torch.square)(rows).sum().backward()
    assert rows.grad is not None
    torch.testing.assert_close(rows.grad, 2 * rows.detach())


def test_float32_reaches_into_a_list_of_tensors() -> None:
    """Regression: in a list, as `loss` is handed its views, they stayed as they were."""
    views = [torch.rand(4, 8, dtype=torch.bfloat16) for _ in range(2)]
    told = in_float32(lambda pair, more: [*pair, more["own"]])(views, {"own": views[0]})
    assert [view.dtype for view in told] == [torch.float32] * 3
    assert torch.equal(told[2], views[0].float())


def test_what_is_handed_no_tensor_cannot_know_its_device() -> None:
    with pytest.raises(TypeError, match=r"similarities .*none of its arguments is a tensor"):
        in_float32(similarities)([1.0], [2.0], 3)
