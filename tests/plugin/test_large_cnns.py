"""Backbones that source documents ask for beside ResNet: every method that a CNN can takes a step on them."""

from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch

from cervbench.checks.examined import ExaminedMethod, train_stepwise
from cervbench.plugin.manager import plugins
from cervbench.training.encoder import Encoder
from cervbench.training.initial_weights import build_encoder
from cervbench.training.pretrain import build_method

METHODS = [name for name, entry in plugins().methods.items() if entry.offer.pretrains and name != "mae"]


built = cache(build_encoder)


def copied(*asked: Any) -> Encoder:
    """To draw so many first weights takes longer than a step does."""
    return deepcopy(built(*asked))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("backbone", ["vgg16", "resnext50_32x4d"])
def test_a_method_takes_a_step_on(backbone: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cervbench.training.pretrain.build_encoder", copied)
    found = plugins()
    offered = found.backbones.get(backbone).offer if backbone in found.backbones else None
    recipe = ExaminedMethod(name, found.methods.get(name).offer).recipe("CNN", batch=2)
    recipe = replace(recipe, backbone=backbone, backbone_offer=offered)
    learner, told = build_method(recipe), list[float]()
    train_stepwise(learner, recipe, told.append, until=1)
    assert len(told) == 1
    assert torch.isfinite(torch.tensor(told)).all()
