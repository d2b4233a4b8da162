"""A comparison is fair where all contestants train the same model on the same images, and all views count."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cervbench.bench.peers.findings import CEILING, OURS
from cervbench.bench.setups import Setup
from cervbench.bench.workload import Bench
from cervbench.place import Place
from cervbench.plugin.manager import plugins

pytest.importorskip("lightly", reason="the extra `peers` is not installed")
pytest.importorskip("kornia", reason="the extra `peers` is not installed")

from cervbench.bench.peers import comparison, policies, recipes

CPU = torch.device("cpu")
SIZE, BATCH = 32, 8


@pytest.fixture(scope="module")
def bench(shared_cache_of_small_cells: Place) -> Bench:
    return Bench("synthetic", shared_cache_of_small_cells, plugins(), CPU)


def layers(module: nn.Module) -> Counter[tuple[str, tuple[int, ...]]]:
    """Each layer's kind with the shape of its weight."""
    kept = (nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d)
    return Counter(
        (type(layer).__name__.replace("Act2d", "2d"), tuple(layer.weight.shape))
        for layer in module.modules()
        if isinstance(layer, kept)
    )


def test_lightlys_recipe_trains_our_encoder_and_our_head_with_one_small_layer_more(bench: Bench) -> None:
    ours = layers(bench.workload(Setup("simclr", "resnet18", SIZE, BATCH)).stage)
    theirs = layers(recipes.Trainee(CPU, bf16=False).model)
    assert theirs == ours + Counter({("BatchNorm1d", (128,)): 1})


def test_a_step_of_lightlys_recipe_is_a_step_of_gradient_descent_on_its_loss() -> None:
    trainee = recipes.Trainee(CPU, bf16=False)
    one, other = torch.randn(2, BATCH, 3, SIZE, SIZE)
    before = [weight.detach().clone() for weight in trainee.model.parameters()]
    trainee.criterion(trainee.model(one), trainee.model(other)).backward()
    expected = [
        old - 0.06 * weight.grad for old, weight in zip(before, trainee.model.parameters(), strict=True)
    ]
    trainee.optimizer.zero_grad()
    trainee.step(one, other)
    for weight, wanted in zip(trainee.model.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.detach(), wanted, rtol=1e-3, atol=1e-6)


@pytest.fixture
def two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is timed is done, and has taken two seconds."""

    def timed(work, device):  # type: ignore[no-untyped-def]
        work()
        return 2.0

    for where in (comparison, recipes):
        monkeypatch.setattr(where, "seconds", timed)


@pytest.mark.usefixtures("two_seconds")
def test_a_rate_counts_both_views_of_every_image_and_the_clock_starts_behind_the_warm_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = np.random.default_rng(0).integers(0, 255, (6, 40, 40, 3), np.uint8)
    recipes.write_files(stored, tmp_path)
    steps: list[tuple[torch.Size, torch.Size]] = []
    monkeypatch.setattr(
        recipes.Trainee, "step", lambda self, one, other: steps.append((one.shape, other.shape))
    )
    loaded = recipes.Loaded(tmp_path, SIZE, BATCH, 1, False, CPU)
    assert loaded.rate(3) == 3 * BATCH * 2 / 2.0
    assert steps == [((BATCH, 3, SIZE, SIZE),) * 2] * (recipes.WARM_UP + 3)
    steps.clear()
    views = policies.on_tensors(torch.from_numpy(stored).permute(0, 3, 1, 2), SIZE)
    for make in views.values():
        assert recipes.OnMemory(6, make, 4, CPU).rate(3) == 3 * 4 * 2 / 2.0
    assert steps == [((4, 3, SIZE, SIZE),) * 2] * 3 * len(views)


def test_every_contestant_hands_over_views_normalised_alike(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a grey image every crop, mirror and blur is that grey; only the jitter can change it."""
    monkeypatch.setattr(policies, "JITTER", (0, 0, 0, 0))
    grey = (torch.full((3,), 100 / 255) - torch.tensor(policies.MEAN)) / torch.tensor(policies.STD)
    stored = torch.full((4, 3, 96, 96), 100, dtype=torch.uint8)
    ways = policies.on_tensors(stored, SIZE)
    assert len(ways) == 6  # kornia's two ways from two sizes, torchvision's two
    for name, make in ways.items():
        made: Tensor = make(torch.arange(4))
        assert (made.dtype, made.shape) == (torch.float32, (4, 3, SIZE, SIZE)), name
        torch.testing.assert_close(made, grey.view(1, 3, 1, 1).expand_as(made), atol=0.02, rtol=0, msg=name)
    ours = bench.workload(Setup("simclr", "resnet18", SIZE, BATCH)).feed.normalise
    assert (ours.mean, ours.std) == (policies.MEAN, policies.STD)


@pytest.mark.usefixtures("two_seconds")
def test_all_contestants_take_turns_and_are_divided_by_ours(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "VIEWS", BATCH)
    told: list[str] = []
    found = comparison.compare(bench, SIZE, BATCH, rounds=1, steps=1, say=told.append)
    assert (found.dataset, found.size, found.batch) == ("synthetic", SIZE, BATCH)
    assert {"kornia", "lightly"} <= set(found.where.versions)
    views = {one.name: one for one in found.views}
    assert {name.partition(",")[0] for name in views} == {OURS, "kornia", "torchvision v2", "lightly"}
    training = {one.name: one for one in found.training}
    assert list(training)[:2] == [OURS, CEILING]
    assert {name.partition(",")[0] for name in training} == {OURS, "kornia", "torchvision v2", "lightly"}
    assert policies.BATCHED not in training  # by which nobody trains
    assert {"lightly, fp32, 1 worker"} <= set(found.tried)
    for contestants in (views, training):
        for one in contestants.values():
            ratio = contestants[OURS].views_per_second / one.views_per_second
            assert one.ours_over_it == pytest.approx(ratio, abs=2e-3 + 0.01 * ratio)
    assert len(told) == 3
