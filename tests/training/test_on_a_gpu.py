"""What only a GPU shows of each installed method: it agrees with the processor, compiled or not; resumes.

Each claim is about a difference, measured against another difference of the same run, for the last bits of a
GPU are its own.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cervbench.checks.examined import CPU, ExaminedMethod, parts_at
from cervbench.checks.small_backbones import BACKBONES
from cervbench.data.ahead import ahead
from cervbench.data.batches import Feed
from cervbench.plugin.manager import plugins
from cervbench.training.checkpoint import Checkpoints, State
from cervbench.training.device import named_device, working_on
from cervbench.training.loop import Sitting, _step, begin, train
from cervbench.training.pretrain import build_method, pretext_stage
from cervbench.training.recipe import Recipe
from cervbench.training.stage import PretextStage

if not torch.cuda.is_available():
    pytest.skip("needs a CUDA device", allow_module_level=True)

STEPS, STOP = 8, 3
METHODS = [
    ExaminedMethod(name, entry.offer)
    for name, entry in sorted(plugins().methods.items())
    if entry.offer.pretrains
]
CASES = [
    pytest.param(method, kind, id=f"{method.name} on a {kind}")
    for method in METHODS
    for kind in BACKBONES
    if kind not in method.refusals
]


@pytest.fixture(autouse=True)
def gpu() -> Iterator[torch.device]:
    """As a run works on it: float32 is not rounded."""
    device = named_device("cuda")
    with working_on(device):
        yield device


@pytest.fixture
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cervbench.training.precision.has_bf16", lambda device: False)


def fed(recipe: Recipe, device: torch.device) -> tuple[PretextStage, Feed]:
    stage, feed = pretext_stage(
        build_method(recipe).to(device), recipe, parts_at(recipe.image_size, device=device).train
    )
    return stage.train(), feed


def step(stage: PretextStage, feed: Feed, number: int = 0) -> tuple[float, dict[str, Tensor]]:
    """The loss and the gradients of one step, which moves nothing."""
    torch.manual_seed(number)
    loss, _ = stage(feed.batch(number))
    stage.zero_grad()
    loss.backward()
    gradients = {n: p.grad.cpu() for n, p in stage.named_parameters() if p.grad is not None}
    return loss.item(), gradients


def apart(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The distance between all tensors of one and those of the other, over the length of the one."""
    assert set(one) == set(other)
    length = sum(float(tensor.double().square().sum()) for tensor in one.values())
    between = sum(
        float((tensor.double() - other[name].double()).square().sum()) for name, tensor in one.items()
    )
    return (between / length) ** 0.5


def require_the_same_step(known: tuple[PretextStage, Feed], other: tuple[PretextStage, Feed]) -> None:
    """Its gradients, and not those of the next batch, which is how far apart they could be."""
    loss, gradients = step(*known)
    loss_of_other, gradients_of_other = step(*other)
    _, of_the_next = step(*known, number=1)
    assert loss_of_other == pytest.approx(loss, rel=1e-3)
    assert apart(gradients, gradients_of_other) < 0.02 * apart(gradients, of_the_next)


@pytest.mark.usefixtures("in_float32")
@pytest.mark.parametrize(("method", "kind"), CASES)
def test_its_loss_and_gradients_are_those_of_the_processor(
    method: ExaminedMethod, kind: str, gpu: torch.device
) -> None:
    recipe = method.recipe(kind)
    require_the_same_step(fed(recipe, CPU), fed(recipe, gpu))


@pytest.mark.usefixtures("in_float32")
@pytest.mark.parametrize(("method", "kind"), CASES)
def test_compiled_it_has_the_same_loss_and_gradients(
    method: ExaminedMethod, kind: str, gpu: torch.device
) -> None:
    recipe = method.recipe(kind)
    compiled = replace(recipe, pretext=recipe.pretext.model_copy(update={"compile": True}))
    require_the_same_step(fed(recipe, gpu), fed(compiled, gpu))


@pytest.mark.parametrize(("method", "kind"), CASES)
def test_a_step_of_it_waits_for_nothing(method: ExaminedMethod, kind: str, gpu: torch.device) -> None:
    """By torch's own account, and once the step before has made what is made once."""
    stage, feed = fed(method.recipe(kind), gpu)
    state = begin(stage, Sitting())
    with ahead(feed, 0, 3, gpu) as batches:
        _step(stage, state, next(batches), feed.purpose, STEPS)
        later = list(batches)
    try:
        torch.cuda.set_sync_debug_mode("error")
        for batch in later:
            _step(stage, state, batch, feed.purpose, STEPS)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_stopped_and_resumed_it_ends_where_it_would_have_ended(
    method: ExaminedMethod, gpu: torch.device, tmp_path: Path
) -> None:
    """Far nearer than with the state of its optimiser lost."""
    recipe = method.recipe(method.backbone)
    sitting = Sitting(Checkpoints(tmp_path), 1e9)

    def trained(forgetful: bool = False, resumed: bool = False) -> dict[str, Tensor]:
        stage, feed = fed(recipe, gpu)
        state = begin(stage, sitting if resumed else Sitting())
        if forgetful:
            state = State(begin(stage, Sitting()).optimizer, state.step)
        train(stage, state, feed, STEPS, Sitting())
        return {name: value.cpu() for name, value in stage.state_dict().items()}

    stage, feed = fed(recipe, gpu)
    train(stage, begin(stage, sitting), feed, STEPS, sitting, until=STOP)
    undisturbed, resumed, forgetful = trained(), trained(resumed=True), trained(resumed=True, forgetful=True)
    assert apart(undisturbed, resumed) < 0.2 * apart(undisturbed, forgetful)
