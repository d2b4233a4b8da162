"""Stages as a run makes them."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partialmethod

import pytest
import torch
from torch import Tensor, fx, nn

from cervbench.checks.encoders import AsItIs
from cervbench.checks.examined import ExaminedMethod, parts_at
from cervbench.plugin import Method, MethodConfig, Offer
from cervbench.training.pretrain import pretext_stage


class Brightness(Method):
    def loss(self, views: Sequence[Tensor]) -> Tensor:
        return sum((self.encoder(view).mean() for view in views), torch.zeros(()))


def test_however_many_stages_a_process_compiles_each_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: torch keeps eight versions of a function, and ran the ninth stage as it was."""
    graphs = []

    def backend(graph: fx.GraphModule, inputs: Sequence[Tensor]) -> fx.GraphModule:
        graphs.append(graph)
        return graph

    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend=backend))
    recipe = ExaminedMethod("brightness", Offer(MethodConfig, Brightness, "made here")).recipe("CNN")
    recipe = replace(recipe, pretext=recipe.pretext.model_copy(update={"compile": True}))
    for number in range(1, 11):
        method = type(f"Brightness{number}", (Brightness,), {})(MethodConfig(), AsItIs(3 * 32 * 32))
        stage, feed = pretext_stage(method, recipe, parts_at(32).train)
        stage(feed.batch(0))
        assert len(graphs) == number
