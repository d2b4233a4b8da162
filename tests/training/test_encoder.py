from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from cervbench.data.views.normalise import UNIT
from cervbench.methods import cervbench_methods
from cervbench.plugin import BackboneOffer, MethodConfig
from cervbench.plugin.checks import small_encoder
from cervbench.plugin.manager import plugins
from cervbench.plugin.problems import ContractError
from cervbench.plugin.settings import SettingsError
from cervbench.protocol.protocol import load
from cervbench.training.backbones import by_timm_name
from cervbench.training.encoder import Encoder
from cervbench.training.initial_weights import build_encoder
from cervbench.training.pretrain import build_method
from cervbench.training.recipe import Recipe
from cervbench.training.weight_file import WeightsError

PURPOSE = ("test",)
OFFER = cervbench_methods()["supervised"]


def encoder(name: str, size: int, init: str = "random") -> Encoder:
    known = plugins().backbones
    offer = known.get(name).offer if name in known else None
    return build_encoder(name, offer, init, size, PURPOSE).eval()


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "swin_tiny_patch4_window7_224"])
def test_an_encoder_makes_a_vector_of_its_width_and_maps(name: str) -> None:
    """Regression: Swin, which has to know the size of its images, was made for 224 px whatever they are."""
    one = encoder(name, 64)
    with torch.no_grad():
        vector, maps = one(torch.rand(2, 3, 64, 64)), one.maps(torch.rand(2, 3, 64, 64))
    assert vector.shape == (2, one.width)
    assert maps.shape[:2] == (2, one.width)


def test_an_architecture_of_which_no_vector_can_be_made_is_refused_with_its_name() -> None:
    """Regression: it ended in a traceback, in the first step."""
    with pytest.raises(SettingsError, match="mixer_s32_224 of timm cannot be an encoder at 64 px"):
        encoder("mixer_s32_224", 64)


class Shaped(torch.nn.Module):
    """Gives zeros of this shape for each image."""

    def __init__(self, *shape: int, num_features: int = 12) -> None:
        super().__init__()
        self.shape, self.num_features = shape, num_features
        self.only = torch.nn.Linear(1, 1)

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        return images.new_zeros(len(images), *self.shape)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (Shaped(12, 4, 4, num_features=7), r"it makes \(2, 12\) of two images, not \(2, 7\)"),
        (Shaped(4, 4, 12), r"it makes \(2, 4\) of two images, not \(2, 12\)"),
        (Shaped(12), r"forward_features gives \(2, 12\), where maps"),
        (Shaped(-1, 4), r"negative dimension.* \(at .*test_encoder\.py:\d+\)"),
        (torch.nn.Conv2d(3, 12, 3), "gives a Conv2d, where a torch module with `forward_features`"),
    ],
)
def test_a_packages_backbone_is_tried_before_the_run(made: torch.nn.Module, why: str) -> None:
    """Regression: it was pooled over the wrong axes, or ended in a traceback of the method."""

    def build(image_size: int, pretrained: bool) -> torch.nn.Module:
        return made

    line = build.__code__.co_firstlineno
    with pytest.raises(ContractError, match=rf"backbone package:net.*{why}") as told:
        build_encoder("package:net", BackboneOffer(build, "nobody"), "random", 64, PURPOSE)
    assert f"`build` ({__file__}:{line})" in str(told.value)


def test_to_try_a_backbone_draws_nothing() -> None:
    """What is built after it must begin with the weights that it had before backbones were tried."""
    torch.manual_seed(1)
    due = torch.rand(3)

    class Draws(Shaped):
        def forward_features(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward_features(images) + torch.rand(())

    one = Encoder(Draws(12, 4, 4), UNIT)
    torch.manual_seed(1)
    assert one.refusal(32) is None
    assert torch.equal(torch.rand(3), due)


def test_a_cnn_is_pooled_as_timm_pools_it() -> None:
    one = encoder("resnet18", 64)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        theirs = one.backbone.forward_head(one.backbone.forward_features(images), pre_logits=True)
        torch.testing.assert_close(one(images), theirs)


def test_a_vit_is_its_class_token() -> None:
    one = encoder("vit", 32)
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(one(images), one.backbone.forward_features(images)[:, 0])
    assert (one.width, one.pooling) == (384, "class token")


def test_the_maps_of_a_vit_are_its_patches_row_by_row() -> None:
    one, images = encoder("vit", 32), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        maps, tokens = one.maps(images), one.backbone.forward_features(images)
    for row in range(4):
        for column in range(4):
            torch.testing.assert_close(maps[:, :, row, column], tokens[:, 1 + 4 * row + column])


def test_a_vit_without_a_class_token_is_the_mean_of_its_patches_and_not_of_its_registers() -> None:
    slim = {"depth": 1, "embed_dim": 12, "num_heads": 2, "img_size": 32, "patch_size": 8}
    pooled = {"class_token": False, "reg_tokens": 2, "global_pool": "avg"}
    vit = timm.create_model("vit_tiny_patch16_224", **slim, **pooled)
    one, images = Encoder(vit, UNIT).eval(), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        tokens = vit.forward_features(images)
        torch.testing.assert_close(one(images), tokens[:, 2:].mean(1))
    assert tokens.shape[1] == 2 + 16


def test_the_input_of_a_backbone_is_what_timm_says() -> None:
    normalise = encoder("resnet18", 32).normalise
    assert (normalise.mean, normalise.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_the_wide_layers_of_vgg_are_left_out() -> None:
    assert sum(p.numel() for p in encoder("vgg16", 64).parameters()) < 15e6


def test_an_encoder_says_which_sizes_it_takes_and_stays_as_it_is() -> None:
    """A CNN takes what leaves something to pool, a ViT the one it was built for."""
    cnn, vit = small_encoder("CNN"), small_encoder("ViT", 32)
    before = {name: value.clone() for name, value in cnn.state_dict().items()}
    assert [side for side in (17, 32, 64) if cnn.takes(side)] == [17, 32, 64]
    assert [side for side in (17, 32, 64) if vit.takes(side)] == [32]
    assert cnn.training
    assert all(torch.equal(value, cnn.state_dict()[name]) for name, value in before.items())


def test_a_backbone_that_refuses_a_size_without_a_word_is_refused_all_the_same() -> None:
    """Regression: a bare `assert` left an empty reason, which was taken for none."""
    encoder = small_encoder("CNN")

    def silent(images: torch.Tensor) -> torch.Tensor:
        raise AssertionError

    encoder.backbone.forward_features = silent
    assert not encoder.takes(32)
    assert encoder.refusal(32) == "AssertionError"


def test_random_weights_are_a_function_of_the_purpose_and_others_of_another() -> None:
    first, again = (encoder("test_resnet", 32).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    recipes = [
        Recipe(OFFER, MethodConfig(), "test_resnet", None, "random", 32, load("smoke").pretext, seed, fold)
        for seed, fold in ((0, 0), (1, 0), (0, 1))
    ]
    firsts = [next(build_method(recipe).encoder.parameters()) for recipe in recipes]
    assert len({tuple(weights.flatten().tolist()) for weights in firsts}) == 3


def test_an_unknown_backbone_is_named_with_those_near_it() -> None:
    with pytest.raises(ValueError, match="resnet18"):
        by_timm_name("resnet1", 64, False)


def test_imagenet_weights_of_lite0_come_from_the_package_and_know_their_input() -> None:
    """Its stem must answer to edges: the mean of a trained filter is far below its spread."""
    one = encoder("tf_efficientnet_lite0", 64, "imagenet")
    random = encoder("tf_efficientnet_lite0", 64)
    assert one.normalise.mean == (127 / 255,) * 3
    name, tensor = next(iter(one.backbone.state_dict().items()))
    assert tensor.shape == random.backbone.state_dict()[name].shape
    norms = [m for m in one.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert all(float(norm.running_var.min()) >= 0 and bool((norm.running_mean != 0).any()) for norm in norms)


def test_packaged_weights_that_do_not_fit_are_told_without_advice_on_a_hub(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: {"_conv_stem.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"conv_stem\.weight is \(1,\) there, .* in timm$"):
        encoder("tf_efficientnet_lite0", 64, "imagenet")


def test_a_packages_weights_that_cannot_be_loaded_are_told_without_advice_on_a_hub() -> None:
    def build(image_size: int, pretrained: bool) -> Any:
        raise OSError("no such file")

    offer = BackboneOffer(build, "nobody", weights="their-weights 2.0")
    with pytest.raises(WeightsError, match=r"no such file\. They are those of their-weights 2\.0") as told:
        build_encoder("package:net", offer, "imagenet", 64, PURPOSE)
    assert "hub" not in str(told.value)


def test_weights_come_from_a_safetensors_file(tmp_path: Path) -> None:
    model = timm.create_model("resnet18", num_classes=0)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    one = encoder("resnet18", 64, str(tmp_path / "weights.safetensors"))
    assert torch.equal(one.backbone.conv1.weight, model.conv1.weight)


@pytest.mark.parametrize("content", ["pickle", "other shapes"])
def test_a_file_that_is_no_weights_of_this_backbone_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "weights.safetensors"
    if content == "pickle":
        torch.save({"conv1.weight": torch.zeros(1)}, path)
    else:
        save_file({"conv1.weight": torch.from_numpy(np.zeros((1, 1), np.float32))}, path)
    with pytest.raises(WeightsError, match=r"weights\.safetensors"):
        encoder("resnet18", 64, str(path))


def slim_vit(image_size: int, pretrained: bool, **more: Any) -> torch.nn.Module:
    slim = {"depth": 2, "embed_dim": 12, "num_heads": 2, "img_size": image_size, "patch_size": 8}
    return timm.create_model("vit_tiny_patch16_224", **slim | {"num_classes": 0} | more)


@pytest.mark.parametrize("more", [{"depth": 4}, {"init_values": 1e-5}], ids=["more blocks", "LayerScale"])
def test_weights_of_a_larger_model_are_refused(tmp_path: Path, more: dict[str, Any]) -> None:
    """Regression: what the backbone has no place for was dropped without a word, whole blocks of it too."""
    path = tmp_path / "larger.safetensors"
    save_file(slim_vit(32, False, **more).state_dict(), path)
    with pytest.raises(WeightsError, match=r"has blocks\.\d\.\S+; .* more, which the backbone does not have"):
        build_encoder("package:vit", BackboneOffer(slim_vit, "nobody"), str(path), 32, PURPOSE)


def test_weights_with_a_classifier_are_taken_and_others_beside_the_encoder_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, offer = tmp_path / "weights.safetensors", BackboneOffer(slim_vit, "nobody")
    tensors = slim_vit(32, False, num_classes=3).state_dict()
    assert "head.weight" in tensors
    save_file(tensors, path)
    build_encoder("package:vit", offer, str(path), 32, PURPOSE)
    assert caplog.text == ""
    save_file({**tensors, "mask_token": torch.zeros(1, 1, 12)}, path)
    build_encoder("package:vit", offer, str(path), 32, PURPOSE)
    assert "weights.safetensors holds mask_token, which the backbone does not have" in caplog.text


def test_whole_files_of_timm_are_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Their classifiers go by several names, and VGG's has two wide layers before it."""
    for name in ("test_resnet", "test_vit", "test_efficientnet", "test_convnext", "vgg11"):
        path = tmp_path / f"{name}.safetensors"
        save_file(timm.create_model(name, num_classes=5).state_dict(), path)
        encoder(name, 160, str(path))
    assert caplog.text == ""


@pytest.mark.parametrize(("size", "patch"), [(64, 8), (120, 8), (128, 16), (224, 16)])
def test_patches_of_a_vit_are_of_16_px_from_128_px_on(size: int, patch: int) -> None:
    assert encoder("vit", size).backbone.patch_embed.patch_size == (patch, patch)
