"""How many images go through an encoder in a step, worked out by hand for each method."""

import pytest
import torch

from cervbench.checks.examined import ExaminedMethod, parts_at
from cervbench.plugin.manager import plugins
from cervbench.training.effort import images_forwarded
from cervbench.training.pretrain import build_method, pretext_stage


@pytest.mark.parametrize(
    ("name", "backbone", "times"),
    [
        ("simclr", "CNN", 2),
        ("barlow-twins", "ViT", 2),
        ("simsiam", "CNN", 2),
        ("moco", "CNN", 2),  # one view through the encoder, the other through the copy that makes keys
        ("byol", "CNN", 4),  # both views through both networks
        ("rotation", "CNN", 4),
        ("agbt", "CNN", 2),
        ("simclr-published", "CNN", 2),
        ("jigsaw", "CNN", 9),
        ("attentive-patch", "CNN", 9),
        ("dino", "CNN", 8),  # two large crops and four small ones, and the large ones through the teacher
        ("dino", "ViT", 8),
        ("mae", "ViT", 1),
    ],
)
def test_images_forwarded_are_counted_without_touching_the_method(
    name: str, backbone: str, times: int
) -> None:
    recipe = ExaminedMethod(name, plugins().methods.get(name).offer).recipe(backbone)
    method = build_method(recipe).train()
    _, feed = pretext_stage(method, recipe, parts_at(recipe.image_size).train)
    before = {key: value.clone() for key, value in method.state_dict().items()}
    draws = torch.get_rng_state()
    assert images_forwarded(method, feed.batch(0).views) == times * feed.per_step
    assert all(torch.equal(value, method.state_dict()[key]) for key, value in before.items())
    assert torch.equal(draws, torch.get_rng_state())
    assert not any(part._forward_pre_hooks for part in method.modules())
