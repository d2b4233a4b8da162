"""Stages as a run makes them."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, fx, nn

from cervbench.checks.examined import ExaminedMethod, parts_at
from cervbench.checks.small_backbones import cnn
from cervbench.data.views.normalise import UNIT
from cervbench.methods import cervbench_methods
from cervbench.plugin import Method, MethodConfig, Offer
from cervbench.plugin.checks import AsItIs, small_encoder
from cervbench.plugin.manager import plugins
from cervbench.training.pretrain import build_method, pretext_stage


class Brightness(Method):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        return sum((self.encoder(view).mean() for view in views), torch.zeros(()))


SUPERVISED = ExaminedMethod("supervised", cervbench_methods()["supervised"])


def test_batch_norm_statistics_are_of_the_train_images_alone() -> None:
    """The first norm's are those of what the first convolution makes of all of them."""
    encoder: Any = SUPERVISED.undisturbed.trained.encoder
    pixels = torch.cat([batch for batch, _ in parts_at(32).train.batches(encoder.normalise)])
    with torch.no_grad():
        means = encoder.backbone.conv1(pixels).mean((0, 2, 3))
    torch.testing.assert_close(encoder.backbone.bn1.running_mean, means, rtol=1e-4, atol=1e-5)
    assert encoder.backbone.bn1.momentum == 0.1


@pytest.mark.parametrize("method", ["supervised", "simclr"])
@pytest.mark.parametrize("init", ["random", "a file"])
def test_only_what_begins_at_random_without_a_pretext_stage_is_from_scratch(
    method: str, init: str, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.safetensors"
    save_file(cnn(32, pretrained=False).state_dict(), weights)
    examined = ExaminedMethod(method, plugins().methods.get(method).offer)
    recipe = replace(examined.recipe("CNN"), init="random" if init == "random" else str(weights))
    assert examined.pretrained(recipe).trained.from_scratch == ((method, init) == ("supervised", "random"))


def test_a_pretext_stage_is_fed_as_its_encoder_wants_by_draws_of_its_own_seed_and_fold() -> None:
    first, method = SUPERVISED.recipe("CNN"), Brightness(MethodConfig(), small_encoder())
    shown = set()
    for recipe in (first, replace(first, seed=1), replace(first, fold=1)):
        _, feed = pretext_stage(method, recipe, parts_at(32).train)
        assert feed.normalise == method.encoder.normalise != UNIT
        shown.add(tuple(feed.batch(0).views[0].flatten().tolist()))
    assert len(shown) == 3


def test_however_many_stages_a_process_compiles_each_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: torch keeps eight versions of a function, and ran the ninth stage as it was."""
    graphs = []

    def backend(graph: fx.GraphModule, inputs: Sequence[Tensor]) -> fx.GraphModule:
        graphs.append(graph)
        return graph

    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend=backend))
    recipe = ExaminedMethod("brightness", Offer(MethodConfig, Brightness, "made here")).recipe("CNN")
    recipe = replace(recipe, pretext=recipe.pretext.model_copy(update={"compile": True}))
    for number in range(1, 10):
        method = type(f"Brightness{number}", (Brightness,), {})(MethodConfig(), AsItIs(3 * 32 * 32))
        stage, feed = pretext_stage(method, recipe, parts_at(32).train)
        stage(feed.batch(0))
        assert len(graphs) == number


def test_an_encoder_starts_from_weights_of_its_seed_and_fold() -> None:
    recipe = SUPERVISED.recipe("CNN")
    started = []
    for seed, fold in ((0, 0), (0, 1), (1, 0), (0, 0)):
        backbone: Any = build_method(replace(recipe, seed=seed, fold=fold)).encoder.backbone
        started.append(tuple(backbone.conv1.weight.flatten()[:8].tolist()))
    assert started[0] == started[3]
    assert len(set(started)) == 3
