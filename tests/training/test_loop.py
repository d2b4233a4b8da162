import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cervbench.data.batches import Batch, Feed, Images
from cervbench.data.views import Normalise, Pyramid, View, plain_policy
from cervbench.error import Diverged
from cervbench.evaluations.finetune import FineTuning
from cervbench.plugin import Encoder, Method, MethodConfig, Progress
from cervbench.plugin.problems import ContractError
from cervbench.protocol.protocol import load
from cervbench.training.checkpoint import Checkpoints, State
from cervbench.training.feature_rank import measuring_batches
from cervbench.training.loop import RESERVED, Sitting, begin, train
from cervbench.training.stage import PretextStage, Stage

STEPS = 12


class Means(Stage):
    """Learns the colour of an image from its pixels, with dropout to draw from torch's generator."""

    sees: Literal["images"] = "images"
    learning_rate = 1e-2
    weight_decay = 1e-4

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.out = nn.Linear(8, 3)

    def views(self) -> Sequence[View]:
        return (plain_policy(),)

    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        (view,) = batch.views
        error = (self.out(self.net(view)).float() - view.mean((2, 3))).square().mean()
        return error, {"error": error.detach()}


def setup(folder: Path | None = None) -> tuple[Means, Feed, Sitting, list[dict[str, float]]]:
    torch.manual_seed(0)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 24, 24, 3), dtype=np.uint8)
    pyramid = Pyramid(pixels, 16, torch.device("cpu"))
    images = Images(tuple(map(str, range(40))), np.full((40, 2), 24), np.arange(40), pyramid)
    stage = Means()
    logged: list[dict[str, float]] = []
    checkpoints = Checkpoints(folder) if folder else None
    sitting = Sitting(checkpoints, 1e9, lambda step, steps, values: logged.append({"step": step, **values}))
    return (
        stage,
        Feed(images, stage.views(), Normalise((0.5,) * 3, (0.5,) * 3), 16, ("test",)),
        sitting,
        logged,
    )


def weights(stage: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in stage.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def undisturbed() -> dict[str, Tensor]:
    stage, feed, sitting, _ = setup()
    train(stage, begin(stage, sitting), feed, STEPS, sitting)
    return weights(stage)


def test_the_loss_falls() -> None:
    stage, feed, sitting, logged = setup()
    train(stage, begin(stage, sitting), feed, 60, sitting)
    assert logged[-1]["loss"] < 0.5 * logged[0]["loss"]
    assert logged[-1]["loss"] == pytest.approx(logged[-1]["error"])


class Draws(Means):
    """Keeps what it draws, and the mode it is in."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[float] = []
        self.modes: list[bool] = []

    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        self.drawn.append(torch.rand(()).item())
        self.modes.append(self.training)
        return super().forward(batch)


def test_the_rate_warms_up_and_falls_and_each_step_is_in_training_and_has_draws_of_its_own() -> None:
    """A tenth of the steps is warm-up, the rest half a cosine."""
    _, feed, sitting, logged = setup()
    stage = Draws().eval()
    train(stage, begin(stage, sitting), feed, 20, sitting)
    cosine = [0.01 * (1 + math.cos(math.pi * step / 18)) / 2 for step in range(18)]
    assert [step["learning_rate"] for step in logged] == pytest.approx([0.005, 0.01, *cosine])
    assert all(stage.modes)
    assert len(set(stage.drawn)) == 20


@pytest.mark.parametrize("clip", [None, 0.25, 0.0])
def test_gradients_are_clipped_to_a_norm_of_one_unless_the_stage_says_otherwise(clip: float | None) -> None:
    class Steep(Means):
        norm = 0.0

        def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
            return 1000 * self.out.weight.sum(), {}

        def after_step(self, progress: Progress) -> None:
            assert self.out.weight.grad is not None
            self.norm = float(self.out.weight.grad.norm())

    _, feed, sitting, _ = setup()
    stage = Steep()
    if clip is not None:
        stage.clip = clip
    train(stage, begin(stage, sitting), feed, STEPS, sitting, until=1)
    unclipped = 1000 * stage.out.weight.numel() ** 0.5
    assert stage.norm == pytest.approx(unclipped if clip == 0 else clip or 1)


class Normed(Method):
    def build(self, encoder: Encoder) -> None:
        self.norm = nn.BatchNorm1d(2)

    def loss(self, views: Sequence[Tensor]) -> Tensor:
        return self.norm(self.encoder(views[0])).sum()


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_a_pretext_stage_is_optimised_as_its_settings_say(name: str, kind: type) -> None:
    given = {"optimizer": name, "learning_rate": 0.2, "weight_decay": 0.3}
    given |= {"momentum": 0.7} if name == "sgd" else {}
    encoder: Any = nn.Linear(3, 2)
    method = Normed(MethodConfig.parse(given, "normed"), encoder)
    optimizer = begin(PretextStage(method), Sitting()).optimizer
    assert type(optimizer) is kind
    decays = {(p.ndim, group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    assert decays == {(2, 0.3), (1, 0.0)}
    assert {group["initial_lr"] for group in optimizer.param_groups} == {0.2}
    assert {group.get("momentum", 0.7) for group in optimizer.param_groups} == {0.7}


@pytest.mark.parametrize("stop", [1, 5, 11])
def test_a_stage_stopped_at_any_step_and_resumed_ends_bit_identical(tmp_path: Path, stop: int) -> None:
    stage, feed, sitting, _ = setup(tmp_path)
    train(stage, begin(stage, sitting), feed, STEPS, sitting, until=stop)
    fresh, feed, sitting, _ = setup(tmp_path)
    state = begin(fresh, sitting)
    assert state.step == stop
    train(fresh, state, feed, STEPS, sitting)
    assert same(weights(fresh), undisturbed())


def test_what_takes_long_to_save_is_saved_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that a step moves by a second, and saving by three."""
    now, saved = [0.0], list[int]()
    monkeypatch.setattr("cervbench.training.loop.time", SimpleNamespace(perf_counter=lambda: now[0]))

    def save(self: Checkpoints, stage: object, state: State) -> None:
        saved.append(state.step)
        now[0] += 3

    monkeypatch.setattr(Checkpoints, "save", save)
    for every, expected in ((0.0, [1, 2, 3]), (2.0, [3, 64, 125])):
        stage, feed, _, _ = setup()
        monkeypatch.setattr(stage, "after_step", lambda progress: now.__setitem__(0, now[0] + 1))
        sitting = Sitting(Checkpoints(tmp_path), every)
        saved.clear()
        train(stage, begin(stage, sitting), feed, 130, sitting)
        assert saved[:3] == expected


def test_a_pause_while_saving_is_not_taken_for_what_saving_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: a process stopped for a minute while it saved made its next checkpoint 20 minutes later."""
    now, saved = [0.0], list[int]()
    monkeypatch.setattr("cervbench.training.loop.time", SimpleNamespace(perf_counter=lambda: now[0]))

    def save(self: Checkpoints, stage: object, state: State) -> None:
        saved.append(state.step)
        now[0] += 60 if len(saved) == 2 else 0

    monkeypatch.setattr(Checkpoints, "save", save)
    stage, feed, _, _ = setup()
    monkeypatch.setattr(stage, "after_step", lambda progress: now.__setitem__(0, now[0] + 1))
    sitting = Sitting(Checkpoints(tmp_path), 2.0)
    train(stage, begin(stage, sitting), feed, 12, sitting)
    assert saved == [3, 6, 9, 12]


def test_what_a_watcher_takes_is_no_part_of_the_time_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: a logger that slept made the times of a page three times as long. A step takes a second."""
    now, rates = [0.0], list[float]()
    monkeypatch.setattr("cervbench.training.loop.time", SimpleNamespace(perf_counter=lambda: now[0]))

    def watch(step: int, steps: int, values: Mapping[str, float]) -> None:
        rates.append(values["images_per_second"])
        now[0] += 100

    stage, feed, _, _ = setup()
    monkeypatch.setattr(stage, "after_step", lambda progress: now.__setitem__(0, now[0] + 1))
    sitting = Sitting(None, 1e9, watch)
    state = begin(stage, sitting)
    train(stage, state, feed, 130, sitting)
    assert len(rates) > 1
    assert set(rates) == {feed.per_step}
    assert state.seconds == 130


def test_a_loss_that_nothing_can_be_learnt_from_is_told() -> None:
    stage, feed, sitting, _ = setup()
    stage.register_forward_hook(lambda stage, asked, told: (told[0].detach(), told[1]))
    with pytest.raises(ContractError, match="loss of Means depends on nothing that can be learnt"):
        train(stage, begin(stage, sitting), feed, STEPS, sitting)


def test_a_checkpoint_half_written_is_never_read(tmp_path: Path) -> None:
    stage, feed, sitting, _ = setup(tmp_path)
    train(stage, begin(stage, sitting), feed, STEPS, sitting, until=5)
    half = tmp_path / ".writing-killed"
    half.mkdir()
    (half / "weights.safetensors").write_bytes(b"half")
    fresh, feed, sitting, _ = setup(tmp_path)
    state = begin(fresh, sitting)
    assert state.step == 5
    train(fresh, state, feed, STEPS, sitting)
    assert same(weights(fresh), undisturbed())
    assert [path.name for path in tmp_path.iterdir()] == [f"step-{STEPS:09d}"]


def test_a_loss_that_is_no_number_stops_with_what_its_stage_says_to_try(tmp_path: Path) -> None:
    stage, feed, sitting, _ = setup(tmp_path)
    stage.remedy = "Look elsewhere"
    state = begin(stage, sitting)
    train(stage, state, feed, STEPS, sitting, until=2)
    with torch.no_grad():
        stage.out.weight.fill_(torch.nan)
    told = "^loss, error, gradient_norm became non-finite in step 3 of 12. Look elsewhere$"
    with pytest.raises(Diverged, match=told):
        train(stage, state, feed, STEPS, sitting)
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-000000002"]


@pytest.mark.parametrize("steps", [STEPS, 130])
def test_of_a_loss_that_was_never_finite_no_learning_rate_is_blamed(steps: int) -> None:
    """Regression: a smaller one was advised. Of 130 steps each second is logged."""
    stage, feed, sitting, _ = setup()
    stage.remedy = "Look elsewhere"
    with torch.no_grad():
        stage.out.weight.fill_(torch.nan)
    told = (
        f"^loss, error, gradient_norm: not finite in step 1 of {steps}, before anything was learnt. Look at"
    )
    with pytest.raises(Diverged, match=told):
        train(stage, begin(stage, sitting), feed, steps, sitting)


def test_settings_that_a_remedy_names_can_be_set() -> None:
    """Regression: a fine-tuning that diverged advised to set the learning rate of the pretext stage."""
    (own,) = re.findall(r"--set ([\w.]+)=…", PretextStage.remedy)
    assert own in MethodConfig.model_fields
    (of_protocol,) = re.findall(r"--set protocol\.([\w.]+)=…", FineTuning.remedy)
    (other,) = re.findall(r"or (\w+)=…", FineTuning.remedy)
    for key in (of_protocol, f"finetune.{other}"):
        assert load("quick", {key: 1e-5}).off == (f"{key}=1e-05",)


def test_what_was_logged_is_known_to_a_stage_resumed_at_its_end(tmp_path: Path) -> None:
    stage, feed, sitting, logged = setup(tmp_path)
    train(stage, begin(stage, sitting), feed, STEPS, sitting)
    fresh, feed, sitting, _ = setup(tmp_path)
    state = begin(fresh, sitting)
    train(fresh, state, feed, STEPS, sitting)
    assert {"step": STEPS, **state.logged} == logged[-1]


def test_weight_decay_spares_biases_and_norms() -> None:
    stage, _, _, _ = setup()
    decayed, spared = stage.param_groups()
    assert {p.ndim for p in spared["params"]} == {1}
    assert min(p.ndim for p in decayed["params"]) > 1
    assert spared["weight_decay"] == 0 < decayed["weight_decay"]
    assert len(decayed["params"]) + len(spared["params"]) == len(list(stage.parameters()))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_group_that_names_no_weight_decay_has_that_of_the_stage(optimizer: str) -> None:
    """Regression: it had torch's default, 0.01 of AdamW and none of SGD, whatever was set and recorded."""

    class Grouped(Means):
        def param_groups(self) -> Iterable[dict[str, Any]]:
            return [{"params": self.net.parameters()}, {"params": self.out.parameters(), "weight_decay": 0.3}]

    stage = Grouped()
    stage.optimizer, stage.weight_decay = optimizer, 0.07
    groups = begin(stage, Sitting()).optimizer.param_groups
    assert [group["weight_decay"] for group in groups] == [0.07, 0.3]


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_part_of_the_loss_takes_no_name_of_the_log(name: str) -> None:
    """Regression: it stood in the log for the loss itself, or was lost."""

    class Misnamed(Means):
        def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
            loss, _ = super().forward(batch)
            return loss, {name: loss.detach()}

    _, feed, sitting, _ = setup()
    stage = Misnamed()
    with pytest.raises(ContractError, match=f"Misnamed .*{name}"):
        train(stage, begin(stage, sitting), feed, STEPS, sitting)


def test_all_that_is_logged_beside_the_parts_of_a_loss_is_reserved() -> None:
    stage, feed, sitting, logged = setup()
    encoder: Any = nn.Flatten()
    with measuring_batches(encoder) as measure:
        train(stage, begin(stage, sitting), feed, 1, sitting)
        encoder(torch.rand(4, 3))
        assert {*logged[-1], *measure()} - {"step", "error"} == RESERVED


def test_a_group_of_its_own_rate_follows_the_schedule_by_that_rate() -> None:
    class Grouped(Means):
        def param_groups(self) -> Iterable[dict[str, Any]]:
            return [{"params": self.net.parameters(), "lr": 0.5}, {"params": self.out.parameters()}]

    _, feed, sitting, _ = setup()
    stage = Grouped()
    state = begin(stage, sitting)
    train(stage, state, feed, STEPS, sitting, until=5)
    rates = [group["lr"] for group in state.optimizer.param_groups]
    cosine = (1 + math.cos(math.pi * 3 / 11)) / 2  # the first of 12 steps warms up, and this is the fifth
    assert rates == pytest.approx([0.5 * cosine, 1e-2 * cosine])


def test_what_torch_draws_in_a_step_is_of_the_purpose_of_its_feed() -> None:
    drawn = []
    for purpose in (("seed 0", "fold 0"), ("seed 0", "fold 1"), ("seed 0", "fold 0")):
        _, feed, sitting, _ = setup()
        stage = Draws()
        train(stage, begin(stage, sitting), replace(feed, purpose=purpose), 3, sitting)
        drawn.append(tuple(stage.drawn))
    assert drawn[0] == drawn[2]
    assert not {*drawn[0]} & {*drawn[1]}


def test_a_step_is_computed_in_the_precision_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Looks(Means):
        def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
            seen.append((batch.views[0].mean((2, 3)) @ torch.eye(3)).dtype)
            return super().forward(batch)

    for wanted in (True, False):
        monkeypatch.setattr(
            "cervbench.training.loop.autocast",
            lambda device, wanted=wanted: torch.autocast(device.type, torch.bfloat16, enabled=wanted),
        )
        _, feed, sitting, _ = setup()
        stage = Looks()
        train(stage, begin(stage, sitting), feed, 1, sitting)
    assert seen == [torch.bfloat16, torch.float32]
