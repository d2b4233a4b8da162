"""The benchmark's own arithmetic: what it counts, and how it divides."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from cervbench.bench import flops
from cervbench.bench.flops import flops_of_step
from cervbench.bench.phases import PHASES, phases
from cervbench.bench.setups import WANTED, Setup
from cervbench.bench.throughput import _warmed, throughput
from cervbench.bench.timing import alternate, median_ratio
from cervbench.bench.workload import Bench, Workload
from cervbench.place import Place
from cervbench.plugin.manager import plugins
from cervbench.plugin.settings import SettingsError

TINY = Setup("simclr", "resnet18", 32, 8)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bench(shared_cache_of_small_cells: Place) -> Bench:
    return Bench("synthetic", shared_cache_of_small_cells, plugins(), CPU)


@pytest.fixture(scope="module")
def workload(bench: Bench) -> Workload:
    return bench.workload(TINY)


def with_loss(workload: Workload, module: nn.Module, loss: Callable[[Tensor], Tensor]) -> Workload:
    """A workload whose step is this module's alone."""

    class Stage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, batch: object) -> tuple[Tensor, dict[str, Tensor]]:
            return loss(self.module(torch.ones(5, 7, 6, 6))), {}

    return Workload(workload.variant, Stage(), workload.feed, CPU, workload.state)  # type: ignore[arg-type]


def test_a_convolution_costs_twice_its_multiplications_and_three_times_that_with_its_gradients(
    workload: Workload,
) -> None:
    """5 images, 7 to 3 channels, 6 × 6 places, a kernel of 3 × 3 with padding."""
    before = nn.Conv2d(7, 7, 1)
    wide, first = 2 * 5 * 3 * 6 * 6 * 7 * 9, 2 * 5 * 7 * 6 * 6 * 7
    step = with_loss(workload, nn.Sequential(before, nn.Conv2d(7, 3, 3, padding=1)), lambda made: made.sum())
    assert flops_of_step(step) == 3 * wide + 2 * first  # of its input the first needs no gradient


def test_attention_is_counted_as_its_two_products_whatever_kernel_computes_it(workload: Workload) -> None:
    """5 × 1 heads of 36 places, 7 wide: queries by keys, then weights by values."""

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(7))

        def forward(self, images: Tensor) -> Tensor:
            tokens = images.flatten(2).transpose(1, 2)[:, None] * self.scale
            return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)

    step = with_loss(workload, Attention(), lambda made: made.sum())
    assert flops_of_step(step) == 3 * 2 * (2 * 5 * 36 * 36 * 7)


def test_a_step_of_a_known_backbone_costs_what_its_layers_add_up_to(workload: Workload) -> None:
    """Counted by hand from the shapes that pass through: forward once, backward twice but for the image."""
    counted = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weight = module.weight
        assert isinstance(weight, Tensor)
        places = output[0, 0].numel() if output.ndim == 4 else 1
        needs = 2 if not counted else 3  # nothing asks for the gradient of an image
        counted.append(needs * 2 * len(output) * places * weight.numel())

    layers = [m for m in workload.stage.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    found = flops_of_step(workload)
    for hook in hooks:
        hook.remove()
    similarities = 16 * 16 * 128 * 2 * 3  # of 2 × 8 views with each other, in SimCLR's loss
    assert found == sum(counted) + similarities


def test_the_ceiling_sees_one_batch_again_and_again_and_it_is_the_feeds_own(workload: Workload) -> None:
    ceiling = workload.ceiling
    assert ceiling.batch(0) is ceiling.batch(7)
    assert all(map(torch.equal, ceiling.batch(3).views, workload.feed.batch(0).views))
    assert not torch.equal(ceiling.batch(3).views[0], workload.feed.batch(3).views[0])


def test_an_image_counts_once_a_view(workload: Workload) -> None:
    assert workload.views_per_step == 8 * 2


def test_phases_are_taken_while_the_stage_trains_on_and_each_takes_time(workload: Workload) -> None:
    before = workload.state.step
    taken = phases(workload, 2)
    assert workload.state.step == before + 2
    assert tuple(taken) == PHASES
    assert min(taken.values()) > 0


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cervbench.bench.throughput.WARM_UP", 0)
    monkeypatch.setattr("cervbench.bench.flops.SIZES", {"cpu": (64, 128)})


@pytest.mark.usefixtures("hasty")
def test_a_row_says_what_was_measured(bench: Bench) -> None:
    (row,) = throughput(bench, [TINY], rounds=1, steps=1)
    assert (row.dataset, row.size, row.batch, row.views) == ("synthetic", 32, 8, 2)
    assert row.ratio == pytest.approx(row.views_per_second / row.ceiling_views_per_second, rel=1e-2)
    assert row.where.device.startswith("cpu")
    reached = row.ceiling_views_per_second * row.flops_per_view
    assert row.share_of_matmul == pytest.approx(reached / row.matmul_flops_per_second)


def test_a_rate_is_all_views_of_all_steps_over_their_seconds(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cervbench.bench.workload.seconds", lambda work, device: 2.0)
    assert workload.rate(workload.feed, 5) == 5 * 8 * 2 / 2.0


def test_a_product_of_square_matrices_is_twice_as_many_operations_as_multiplications(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flops, "seconds", lambda work, device: flops.LASTING)
    assert flops._rate(64, torch.float32, CPU).per_second == pytest.approx(2 * 64**3 / flops.LASTING)


def test_phases_by_a_clock_that_ticks_at_each_look_are_the_mean_of_the_steps(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count()
    clock = SimpleNamespace(perf_counter=lambda: float(next(ticks)))
    monkeypatch.setattr("cervbench.bench.phases.time", clock)
    assert phases(workload, 2) == {"views": 1, "forward": 1, "backward": 1, "optimiser": 1, "rest": 2.5}


@pytest.mark.usefixtures("hasty")
def test_the_operations_of_a_view_are_those_of_a_step_over_its_views(
    bench: Bench, workload: Workload
) -> None:
    (row,) = throughput(bench, [TINY], rounds=1, steps=1)
    assert row.flops_per_view * row.batch * row.views == flops_of_step(workload)


def test_the_first_step_is_not_what_a_step_takes(workload: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: in it things are compiled and chosen, and with it in the count the warm-up was over."""
    begun: list[object] = []
    monkeypatch.setattr(Workload, "train", lambda self, feed, steps: begun.append(feed))

    def seconds_of(work: Callable[[], object], device: torch.device) -> float:
        work()
        return 40.0 if begun.count(begun[-1]) == 1 else 0.05

    monkeypatch.setattr("cervbench.bench.throughput.seconds", seconds_of)
    assert _warmed(workload) == 0.05


def test_what_has_no_pretext_stage_is_refused_before_anything_is_timed(bench: Bench) -> None:
    with pytest.raises(SettingsError, match="supervised has no pretext stage"):
        next(throughput(bench, [Setup("supervised", "resnet18", 32, 8)], rounds=1))


@pytest.mark.usefixtures("hasty")
def test_a_refused_backbone_leaves_the_other_rows(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Regression: of all methods on a ResNet, those after MAE were not measured."""
    refused = Setup("mae", "resnet18", 32, 8)
    rows = throughput(bench, [refused, TINY], rounds=1, steps=1)
    assert [row.method for row in rows] == ["simclr"]
    assert "mae · resnet18, 32 px, batch 8 is left out: mae leaves patches out" in caplog.text
    with pytest.raises(SettingsError, match="mae leaves patches out"):
        list(throughput(bench, [refused], rounds=1, steps=1))


@pytest.mark.usefixtures("hasty")
def test_a_cell_too_large_for_the_device_leaves_the_other_rows(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = Setup("simclr", "resnet50", 32, 8)

    def workload(self: Bench, setup: Setup) -> Workload:
        if setup == large:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return made(self, setup)

    made = Bench.workload
    monkeypatch.setattr(Bench, "workload", workload)
    assert len(list(throughput(bench, [large, TINY], rounds=1, steps=1))) == 1
    assert "simclr · resnet50, 32 px, batch 8 is left out: CUDA out of memory" in caplog.text


def test_the_beginner_changes_from_round_to_round() -> None:
    order: list[str] = []

    def turn(name: str) -> Callable[[], float]:
        def take() -> float:
            order.append(name)
            return float(len(order))

        return take

    rates = alternate({name: turn(name) for name in "abc"}, rounds=3)
    assert order == list("abcbcacab")
    assert rates == {"a": [1, 6, 8], "b": [2, 4, 9], "c": [3, 5, 7]}


def test_the_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_the_medians() -> None:
    ours, theirs = [10.0, 40.0, 90.0], [10.0, 20.0, 30.0]  # 1, 2 and 3 times; medians 40 and 20
    assert median_ratio(ours, theirs) == 2
    assert median_ratio([30.0, 10.0, 20.0], [10.0, 20.0, 20.0]) == 1  # medians 20 and 20; 3, ½ and 1 times


def test_the_wanted_rows_are_both_backbones_with_both_methods_compiled_and_not() -> None:
    assert sorted(map(str, WANTED)) == [
        "barlow-twins · resnet50 (projector [8192, 8192, 8192]), 128 px, batch 256",
        "barlow-twins · resnet50, compiled (projector [8192, 8192, 8192]), 128 px, batch 256",
        "barlow-twins · vit (projector [8192, 8192, 8192]), 224 px, batch 256",
        "barlow-twins · vit, compiled (projector [8192, 8192, 8192]), 224 px, batch 256",
        "simclr · resnet50, 128 px, batch 256",
        "simclr · resnet50, compiled, 128 px, batch 256",
        "simclr · vit, 224 px, batch 256",
        "simclr · vit, compiled, 224 px, batch 256",
    ]


@pytest.mark.usefixtures("hasty")
def test_a_row_says_with_which_settings_it_was_measured(bench: Bench) -> None:
    wide = replace(TINY, settings={"projection": 16})
    (row,) = throughput(bench, [wide], rounds=1, steps=1)
    assert row.setup == wide
    assert bench.workload(wide).stage.method.projector[-1].out_features == 16  # type: ignore[union-attr,index]


def test_a_wanted_row_is_trained_as_it_says(shared_cache_of_small_cells: Place) -> None:
    """Regression: Barlow Twins was wanted and measured with its default projector, an eighth as wide."""
    bench = Bench("synthetic", shared_cache_of_small_cells, plugins(), CPU)
    asked = next(setup for setup in WANTED if setup.method == "barlow-twins" and setup.compiled)
    wide = bench.resolved(asked)
    assert wide.config.projector == (8192, 8192, 8192)  # type: ignore[attr-defined]
    assert wide.protocol.pretext.compile
    assert (wide.protocol.image_size, wide.protocol.pretext.batch_size) == (128, 256)
