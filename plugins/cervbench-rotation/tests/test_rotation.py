import math
from typing import get_args

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from cervbench_rotation import Config
from cervbench_rotation.method import RotationPrediction, upright
from torch import Tensor, nn

from cervbench.plugin import Encoder, MethodConfig, Normalise, Pyramid, named_policy
from cervbench.plugin.devices import pretended

POLICIES = get_args(MethodConfig.model_fields["policy"].annotation)


class Corners(nn.Module):
    """A backbone that sees the four corners of an image, and keeps what it was shown."""

    num_features = 4

    def forward_features(self, images: Tensor) -> Tensor:
        self.shown: Tensor = images
        corners = images[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
        return corners[..., None, None]


def method(**settings: object) -> RotationPrediction:
    encoder = Encoder(Corners(), Normalise((0.0,) * 3, (1.0,) * 3))
    return RotationPrediction(Config.parse(settings, "rotation"), encoder)


def test_every_image_is_shown_in_all_four_turns_and_the_answer_is_how_often_it_was_turned() -> None:
    rotation, images = method(), torch.randn(5, 3, 8, 8)
    loss, parts = rotation.loss([images])
    total, right = 0.0, 0
    for quarters in range(4):
        for image in images:
            seen = tv.rotate(image, 90 * quarters)  # counter-clockwise
            corners = torch.stack([seen[0, 0, 0], seen[0, 0, -1], seen[0, -1, 0], seen[0, -1, -1]])
            answer = (rotation.turn.weight @ corners + rotation.turn.bias).tolist()
            total += math.log(sum(map(math.exp, answer))) - answer[quarters]
            right += max(range(4), key=answer.__getitem__) == quarters
    assert loss.item() == pytest.approx(total / 20, abs=1e-5)
    assert parts["accuracy"].item() == pytest.approx(right / 20)


def test_one_turn_an_image_is_drawn_by_torchs_generator() -> None:
    rotation, images = method(all_turns=False), torch.randn(64, 3, 8, 8)
    torch.manual_seed(3)
    rotation.loss([images])
    assert rotation.encoder is not None
    shown = rotation.encoder.backbone.shown
    torch.manual_seed(3)
    turns = torch.randint(4, (64,)).tolist()
    assert len(set(turns)) == 4
    assert isinstance(shown, Tensor)
    for image, seen, quarters in zip(images, shown, turns, strict=True):
        assert torch.equal(seen, tv.rotate(image, 90 * quarters))


class SecondOfTwo:
    rank, count = 1, 2

    def gather(self, rows: Tensor) -> Tensor:
        raise NotImplementedError


def test_on_several_devices_each_draws_the_turns_of_its_own_images() -> None:
    rotation, images = method(all_turns=False), torch.randn(32, 3, 8, 8)
    torch.manual_seed(3)
    with pretended(SecondOfTwo()):
        rotation.loss([images])
    torch.manual_seed(3)
    turns = torch.randint(4, (64,))[32:].tolist()
    seen = [tv.rotate(image, 90 * quarters) for image, quarters in zip(images, turns, strict=True)]
    shown = rotation.encoder.backbone.shown
    assert isinstance(shown, Tensor)
    assert torch.equal(shown, torch.stack(seen))


@pytest.mark.parametrize("name", POLICIES)
def test_no_policy_turns_an_image_or_mirrors_it_upside_down(name: str) -> None:
    """The top of every image is white and its bottom black; so are those of its views."""
    image = np.zeros((1, 64, 64, 3), np.uint8)
    image[:, :32] = 255
    (policy,) = method(policy=name).views()
    drawn = policy.draw(np.random.default_rng(0), 200)
    assert any("flip" in key for key in drawn)
    pixels = Pyramid(image.repeat(200, 0), 32)
    views = policy.apply(pixels, torch.arange(200), drawn, Normalise((0.0,) * 3, (1.0,) * 3))
    top, bottom = views[:, :, :4].mean((1, 2, 3)), views[:, :, -4:].mean((1, 2, 3))
    assert (top - bottom).min() > -0.3  # noise, and crops that show one half alone
    assert (top - bottom > 0.3).float().mean() > 0.6


def test_left_and_right_are_still_mirrored() -> None:
    drawn = upright(named_policy("A")).draw(np.random.default_rng(0), 400)["1_flip"]
    assert 0.4 < (drawn[:, 0] == -1).mean() < 0.6
    assert (drawn[:, 1] == 1).all()
