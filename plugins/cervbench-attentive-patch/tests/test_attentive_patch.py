import math
from typing import Any

import numpy as np
import pytest
import torch
from cervbench_attentive_patch import Config
from cervbench_attentive_patch.method import AttentivePatch, edges, patches
from cervbench_jigsaw import Config as JigsawConfig
from cervbench_jigsaw.method import Jigsaw
from torch import nn

from cervbench.plugin import Attentive, Encoder, Normalise, SettingsError
from cervbench.plugin.checks import small_encoder
from cervbench.plugin.manager import plugins
from cervbench.plugin.offers import imported


def attentive_patch(encoder: Encoder | None = None, **settings: object) -> AttentivePatch:
    return AttentivePatch(Config.parse(settings, "attentive-patch"), encoder or small_encoder())


def fresh(method: AttentivePatch, classes: int = 4) -> Any:
    assert method.encoder is not None
    return method.classifier(method.encoder, classes)


def classifier(encoder: Encoder | None = None) -> Any:
    """One whose last layer is not at zero any more."""
    made = fresh(attentive_patch(encoder, embedding=6, reduced=5))
    nn.init.normal_(made.head.weight)
    return made


def test_before_labels_it_is_jigsaw() -> None:
    methods = [Jigsaw(JigsawConfig.parse({}, "jigsaw"), small_encoder()), attentive_patch()]
    pieces = torch.randn(2, 9, 3, 48, 48)
    losses = []
    for method in methods:
        torch.manual_seed(0)
        losses.append(method.loss([pieces])[0].item())
    assert losses[0] == losses[1]


def test_what_jigsaw_learnt_to_say_of_a_patch_is_carried_over() -> None:
    method = attentive_patch()
    made = fresh(method)
    assert made.encoder is method.encoder
    assert made.embed is method.embed


@pytest.mark.parametrize("side", [32, 64, 100, 170])
def test_patches_lie_in_the_middles_of_the_nine_cells_with_a_gap_between(side: int) -> None:
    for number, (left, top, right, bottom) in enumerate(edges(side).tolist()):
        row, column = divmod(number, 3)
        for start, end, cell in ((left, right, column), (top, bottom, row)):
            assert start == pytest.approx(side * (cell + 17 / 340) / 3, abs=0.5)
            assert end - start == pytest.approx(side * 0.3, abs=1)


def test_a_patch_shows_its_own_part_of_the_image_and_no_other() -> None:
    image = torch.zeros(1, 3, 64, 64)
    left, top, right, bottom = edges(64)[5]
    image[..., top:bottom, left:right] = 1.0
    shown = patches(image, 48)
    assert shown.shape == (1, 9, 3, 48, 48)
    assert (shown[0, 5] == 1).all()
    assert shown.sum() == shown[0, 5].sum()


def test_the_answer_worked_by_hand_from_the_last_maps() -> None:
    """Figure 3 of the source: a mean over height, width and channels, nine to nine, a sigmoid, a product."""
    made, images = classifier().eval().requires_grad_(False), torch.randn(2, 3, 64, 64)
    embed, reduce = made.embed[0], made.reduce[0]
    for n, cut in enumerate(patches(images, 48)):
        maps = made.encoder.maps(cut)
        pooled = maps.mean((1, 2, 3)).tolist()
        weights = [
            1 / (1 + math.exp(-(sum(w * x for w, x in zip(row, pooled, strict=True)) + bias)))
            for row, bias in zip(made.weigh.weight.tolist(), made.weigh.bias.tolist(), strict=True)
        ]
        said = [
            weight * (embed.weight @ vector + embed.bias).relu()
            for vector, weight in zip(maps.mean((2, 3)), weights, strict=True)
        ]
        last = (reduce.weight @ torch.cat(said) + reduce.bias).relu()
        expected = made.head.weight @ last + made.head.bias
        torch.testing.assert_close(made(images)[n], expected, rtol=1e-5, atol=1e-5)
        assert made.attention(images)[0][n].tolist() == pytest.approx(weights, abs=1e-5)


def test_every_class_is_as_likely_before_a_label_is_seen() -> None:
    assert (fresh(attentive_patch(), 5)(torch.randn(2, 3, 32, 32)) == 0).all()


def test_its_attention_can_be_shown() -> None:
    made = classifier()
    assert isinstance(made, Attentive)
    weights, places = made.attention(torch.randn(3, 3, 64, 64))
    assert weights.shape == (3, 9)
    assert places.shape == (9, 4)
    assert np.allclose((places[:, :2] + places[:, 2:]) * 64, edges(64)[:, 2:])


@pytest.mark.parametrize("backbone", ["resnet50", "vgg16"])
def test_it_works_on_the_backbones_of_the_source(backbone: str) -> None:
    model = imported(plugins().backbones.get(backbone).offer.build)(32, False)
    made = classifier(Encoder(model, Normalise((0.5,) * 3, (0.5,) * 3)))
    made(torch.randn(2, 3, 32, 32)).square().sum().backward()
    for trained in (next(made.encoder.parameters()), made.embed[0].weight, made.weigh.weight):
        assert trained.grad.abs().sum() > 0


def test_an_encoder_that_ends_in_a_layer_norm_is_refused() -> None:
    """The mean of such a vector is the same for every patch, and so would all weights be."""
    encoder: Any = small_encoder("ViT")
    encoder.backbone.norm.weight.data.fill_(1)
    vectors = encoder(torch.randn(5, 3, 32, 32))
    assert vectors.mean(1).std().item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(SettingsError, match="layer norm"):
        attentive_patch(encoder)
