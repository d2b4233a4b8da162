import re
from typing import Any

import pytest
import timm
import torch
from cervbench_mae import Config
from cervbench_mae.decoder import Decoder
from cervbench_mae.method import MAE, encoded, patches, reconstruction_error, shuffled, taken
from lightly.models.utils import (
    get_2d_sine_cosine_positional_embedding,
    get_at_index,
    normalize_mean_var,
)
from lightly.models.utils import patchify as lightlys_patchify
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from cervbench.plugin import Encoder, Normalise, SettingsError, named_policy

VITS: dict[str, dict[str, Any]] = {
    "class token": {},
    "mean token": {"class_token": False, "global_pool": "avg"},
    "registers": {"reg_tokens": 2},
    "position apart from the class token": {"no_embed_class": True},
    "norm before the blocks": {"pre_norm": True},
}


def vit(**arguments: Any) -> VisionTransformer:
    torch.manual_seed(0)
    model = VisionTransformer(
        img_size=32, patch_size=8, embed_dim=64, depth=2, num_heads=2, num_classes=0, **arguments
    )
    return model.eval()


def mae(backbone: nn.Module, **settings: Any) -> MAE:
    return MAE(Config(decoder_depth=1, **settings), Encoder(backbone, Normalise((0.5,) * 3, (0.5,) * 3)))


@pytest.mark.parametrize("kind", VITS)
def test_with_nothing_hidden_the_encoder_is_timms_own(kind: str) -> None:
    model, images = vit(**VITS[kind]), torch.randn(3, 3, 32, 32)
    everything = torch.arange(16).expand(3, -1)
    with torch.no_grad():
        torch.testing.assert_close(encoded(model, images, everything), model.forward_features(images))


def test_what_is_hidden_leaves_no_trace_in_the_tokens() -> None:
    model, images = vit(), torch.randn(1, 3, 32, 32)
    changed = images.clone()
    changed[..., 8:16, 16:24] = 5.0  # patch 6, the third of the second row
    without, within = torch.tensor([[3, 15, 5, 7]]), torch.tensor([[3, 6, 5, 7]])
    with torch.no_grad():
        assert torch.equal(encoded(model, images, without), encoded(model, changed, without))
        assert not torch.equal(encoded(model, images, within), encoded(model, changed, within))


def test_the_order_of_visible_patches_does_not_matter_to_their_tokens() -> None:
    model, images = vit(), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        one = encoded(model, images, torch.tensor([[3, 9, 5], [0, 1, 2]]))
        other = encoded(model, images, torch.tensor([[5, 3, 9], [2, 0, 1]]))
    torch.testing.assert_close(one[:, 1:], other[:, [2, 3, 1]])


def test_the_error_worked_by_hand() -> None:
    """A patch of 0, 2, 4, 6 has mean 3 and variance 20/3; predicting its mean, which is 0 of the brought
    values, costs their mean square, (3² + 1² + 1² + 3²) / 4 · 3 / 20."""
    hidden = torch.tensor([[[0.0, 2.0, 4.0, 6.0]]])
    assert reconstruction_error(torch.zeros(1, 1, 4), hidden).item() == pytest.approx(0.75, abs=1e-6)


def test_patches_are_those_of_torchs_unfold() -> None:
    images = torch.rand(2, 3, 12, 32)
    expected = nn.functional.unfold(images, (4, 8), stride=(4, 8)).transpose(1, 2)
    assert torch.equal(patches(images, (4, 8)), expected)


def by_pixel(predicted: Tensor) -> Tensor:
    """lightly sorts the values of a patch by pixel and then channel, timm's weights by channel first."""
    return predicted.unflatten(2, (3, 64)).transpose(2, 3).flatten(2)


def test_the_error_is_that_of_lightlys_parts() -> None:
    torch.manual_seed(0)
    images, hidden = torch.rand(4, 3, 32, 32), shuffled(4, 16)[:, 4:]
    predicted = torch.randn(4, 12, 3 * 64)
    ours = reconstruction_error(predicted, taken(patches(images, (8, 8)), hidden))
    theirs = normalize_mean_var(get_at_index(lightlys_patchify(images, 8), hidden))
    assert ours.item() == pytest.approx(nn.MSELoss()(by_pixel(predicted), theirs).item(), abs=1e-5)


def test_an_image_all_of_one_colour_has_a_finite_error() -> None:
    flat = torch.full((1, 4, 12), 0.75)
    assert reconstruction_error(torch.ones(1, 4, 12), flat).item() == pytest.approx(1.0, abs=1e-6)


def decoded_in_place(decoder: Decoder, tokens: Tensor, order: Tensor) -> Tensor:
    """The paper's way: every patch back in its place, positions added, all of them decoded."""
    seen, prefix = decoder.embed(tokens), decoder.prefix
    whole = decoder.hidden_token.expand(len(seen), order.shape[1], -1).clone()
    visible = seen.shape[1] - prefix
    for image in range(len(seen)):
        whole[image, order[image, :visible]] = seen[image, prefix:]
    whole = torch.cat([seen[:, :prefix], whole + decoder.positions], 1)
    everything = decoder.predict(decoder.norm(decoder.blocks(whole)))[:, prefix:]
    return taken(everything, order[:, visible:])


@pytest.mark.parametrize("prefix", [0, 1, 3])
def test_decoding_in_shuffled_order_is_decoding_in_place(prefix: int) -> None:
    torch.manual_seed(0)
    decoder = Decoder(64, 32, 2, prefix, (4, 4), 192)
    tokens, order = torch.randn(3, prefix + 4, 64), shuffled(3, 16)
    with torch.no_grad():
        torch.testing.assert_close(decoder(tokens, order), decoded_in_place(decoder, tokens, order))


def test_the_decoder_begins_as_published() -> None:
    """Matrices as Xavier has them for ReLU-free layers, no bias, and a hidden token of deviation 0.02."""
    torch.manual_seed(0)
    decoder = Decoder(192, 512, 2, 1, (4, 4), 192)
    layers = [module for module in decoder.modules() if isinstance(module, nn.Linear)]
    assert len(layers) == 2 + 2 * 4
    for layer in layers:
        bound = (6 / sum(layer.weight.shape)) ** 0.5
        assert layer.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.01)
        assert not layer.bias.any()
    assert decoder.hidden_token.std().item() == pytest.approx(0.02, rel=0.15)


def test_it_is_shown_one_view_of_the_policy_that_is_set() -> None:
    assert mae(vit(), policy="C").views() == (named_policy("C"),)


@pytest.mark.parametrize(("side", "patch"), [(36, 8), (8, 8)])
def test_an_image_that_is_not_two_or_more_whole_patches_is_refused(side: int, patch: int) -> None:
    """Regression: the one was a traceback in the first step, and of the other nothing was seen."""
    with pytest.raises(SettingsError, match=f"{side} px are not so many of {patch} px"):
        mae(VisionTransformer(img_size=side, patch_size=patch, embed_dim=64, depth=1, num_heads=2))


def test_the_loss_is_the_papers_with_every_patch_in_its_place() -> None:
    model, images = vit(), torch.rand(3, 3, 32, 32)
    method = mae(model)
    torch.manual_seed(4)
    loss = method.loss([images])
    torch.manual_seed(4)
    order = shuffled(3, 16)
    tokens = encoded(model, images, order[:, : method.visible])
    predicted = decoded_in_place(method.decoder, tokens, order)
    wanted = get_at_index(lightlys_patchify(images, 8), order[:, method.visible :])
    theirs = nn.MSELoss()(by_pixel(predicted), normalize_mean_var(wanted))
    assert loss.item() == pytest.approx(theirs.item(), abs=1e-5)


def test_the_decoders_positions_are_lightlys_waves() -> None:
    """In another order of the features, which changes no distance between places."""
    positions = Decoder(64, 32, 1, 1, (4, 4), 192).positions
    theirs = torch.from_numpy(get_2d_sine_cosine_positional_embedding(32, 4, False)).float()
    apart = torch.cdist(positions, positions)
    torch.testing.assert_close(apart, torch.cdist(theirs, theirs), atol=1e-3, rtol=0)
    assert Decoder(64, 32, 1, 1, (3, 5), 192).positions.shape == (15, 32)


def test_a_head_of_the_decoder_is_as_wide_as_in_the_paper() -> None:
    decoder: Any = Decoder(64, 192, 2, 1, (4, 4), 192)
    assert [block.attn.num_heads for block in decoder.blocks] == [6, 6]


def test_each_patch_is_hidden_three_times_in_four_and_a_quarter_is_seen() -> None:
    torch.manual_seed(0)
    method = mae(vit())
    hidden = shuffled(20_000, 16)[:, method.visible :]
    assert method.visible == 4
    counts = torch.bincount(hidden.flatten(), minlength=16)
    assert (counts - 15_000).abs().max() < 5 * (20_000 * 0.75 * 0.25) ** 0.5


@pytest.mark.parametrize(("masking", "visible"), [(0.01, 15), (0.5, 8), (0.99, 1)])
def test_something_is_always_seen_and_something_hidden(masking: float, visible: int) -> None:
    method = mae(vit(), masking=masking)
    assert method.visible == visible
    assert torch.isfinite(method.loss([torch.randn(2, 3, 32, 32)]))


def test_all_of_encoder_and_decoder_learn() -> None:
    method = mae(vit())
    method.loss([torch.randn(4, 3, 32, 32)]).backward()
    assert [name for name, p in method.named_parameters() if p.grad is None] == []


def test_what_is_hidden_is_drawn_from_torchs_own_generator() -> None:
    method, images = mae(vit()), [torch.randn(4, 3, 32, 32)]
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(method.loss(images).item())
    assert losses[0] == losses[1] != losses[2]


def test_a_backbone_without_tokens_is_refused_with_what_to_do() -> None:
    with pytest.raises(SettingsError, match=re.escape("ResNet cannot") + ".*--backbone vit"):
        mae(timm.create_model("resnet18", num_classes=0))


def test_the_loss_is_computed_in_float32_where_networks_are_in_bf16() -> None:
    painted, image = torch.randn(1, 16, 32).bfloat16(), (1 + torch.randn(1, 16, 32) / 64).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = reconstruction_error(painted, image)
    exact = reconstruction_error(painted.float(), image.float())
    assert mixed.item() == pytest.approx(exact.item(), abs=1e-5)
