"""What a method hands back is looked at where it is handed over, and told by the name its author knows."""

from typing import Any

import pytest
import torch
from torch import nn
from torchvision.transforms import v2

from cervbench.data.views import Policy, plain_policy
from cervbench.plugin import Method, MethodConfig
from cervbench.plugin.checks import small_encoder
from cervbench.plugin.problems import ContractError
from cervbench.training.loop import Sitting, begin
from cervbench.training.stage import PretextStage, views_of

ONE = torch.tensor(1.0, requires_grad=True)


class Answers(Method):
    """Returns what a test gives it."""

    loss_is: Any = ONE
    views_are: Any = ()
    groups_are: Any = None

    def __init__(self) -> None:
        super().__init__(MethodConfig(), None)
        self.head = nn.Linear(2, 2)
        self.forgotten = nn.Linear(2, 2)

    def loss(self, views: Any) -> Any:
        return self.loss_is

    def views(self) -> Any:
        return self.views_are

    def param_groups(self) -> Any:
        return super().param_groups() if self.groups_are is None else self.groups_are(self)


def stage(**answers: Any) -> PretextStage:
    method = Answers()
    for name, answer in answers.items():
        object.__setattr__(method, name, answer)
    return PretextStage(method)


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        ({"loss": ONE}, "loss of Answers returns a dict; give one scalar"),
        (None, "loss of Answers returns None"),
        (torch.ones(3), r"returns a Tensor of shape \(3,\)"),
        ((ONE, ONE), "returns a tuple of a Tensor"),
        (torch.tensor(1), "is int64, which has no slope"),
        (ONE * 1j, "is complex64, which has no slope"),
        ((ONE, {"each": torch.ones(3)}), r"a part 'each' that is a Tensor of shape \(3,\)"),
    ],
)
def test_a_loss_that_is_none_is_told(loss: Any, told: str) -> None:
    batch: Any = type("Batch", (), {"views": []})
    with pytest.raises(ContractError, match=told):
        stage(loss_is=loss)(batch)


@pytest.mark.parametrize("loss", [ONE, (ONE, {}), (ONE, {"part": ONE, "number": 2.0})])
def test_a_scalar_is_a_loss_with_parts_or_without(loss: Any) -> None:
    batch: Any = type("Batch", (), {"views": []})
    total, parts = stage(loss_is=loss)(batch)
    assert total == 1
    assert set(parts) <= {"part", "number"}


@pytest.mark.parametrize("views", [plain_policy(), None, [v2.GaussianBlur(3)], [plain_policy(), "A"]])
def test_views_that_are_none_are_told(views: Any) -> None:
    with pytest.raises(ContractError, match=r"views of Answers returns (a .*|None); give a list of views"):
        stage(views_are=views).views()


def test_a_stage_without_views_is_told_so() -> None:
    """Regression: the first of no views was looked for, and a list index was out of range."""
    with pytest.raises(ContractError, match=r"Answers .*views\(\)"):
        views_of(stage(views_are=[]))


def test_a_method_without_a_loss_is_told_what_to_define() -> None:
    with pytest.raises(ContractError, match=r"Method has no loss .*define loss\(views\)"):
        Method(MethodConfig(), None).loss([])


def test_groups_are_dicts_and_hold_whatever_wants_a_gradient() -> None:
    """Regression: the gradient of a parameter in no group was never cleared, and distorted every clipping."""
    sitting = Sitting(None, 1e9, lambda *_: None)
    with pytest.raises(ContractError, match="param_groups of Answers returns a list of"):
        begin(stage(groups_are=lambda method: list(method.parameters())), sitting)
    head_alone = stage(groups_are=lambda method: [{"params": method.head.parameters()}])
    with pytest.raises(ContractError, match=r"forgotten\.weight; forgotten\.bias: wants a gradient"):
        begin(head_alone, sitting)
    head_twice = stage(groups_are=lambda method: [{"params": [*method.parameters(), method.head.weight]}])
    with pytest.raises(ContractError, match=r"^head\.weight: is in param_groups of Answers more than once"):
        begin(head_twice, sitting)
    head_alone.method.forgotten.requires_grad_(False)
    (group,) = begin(head_alone, sitting).optimizer.param_groups
    assert len(group["params"]) == 2


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"learning_rate": 1e-6}, r"a group with 'learning_rate', unknown to adamw \(a group has params, lr"),
        ({"weight_decy": 0.0}, "a group with 'weight_decy', unknown to adamw; did you mean 'weight_decay'"),
        ({"momentum": 0.5}, "unknown to adamw"),
        ({"lr": "fast"}, "lr in param_groups of Answers is 'fast'; give a number"),
    ],
)
def test_what_a_group_sets_is_known_to_the_optimiser(setting: dict[str, Any], told: str) -> None:
    """Regression: a misspelt rate was kept, looked at by nobody, and the stage trained at another one."""
    groups = stage(groups_are=lambda method: [{"params": method.parameters(), **setting}])
    with pytest.raises(ContractError, match=told):
        begin(groups, Sitting(None, 1e9, lambda *_: None))


def test_the_encoder_that_a_method_is_given_is_the_one_that_it_keeps() -> None:
    """Regression: wrapped in a Sequential it failed in twelve checks, with the core's own line."""

    class Wrapping(Method):
        def build(self, encoder: Any) -> None:
            self.encoder = encoder
            self.encoder = nn.Sequential(encoder, nn.ReLU())  # type: ignore[assignment]

    with pytest.raises(AttributeError, match=r"Wrapping assigns another self\.encoder than it was given"):
        Wrapping(MethodConfig(), small_encoder("CNN"))


def test_an_operation_of_another_library_is_refused_by_a_policy() -> None:
    operations: Any = (v2.GaussianBlur(3),)
    with pytest.raises(TypeError, match="is no operation that a policy can apply"):
        Policy(operations)
