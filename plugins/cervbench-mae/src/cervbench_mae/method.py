"""MAE, as a method of cervbench."""

from collections.abc import Sequence
from functools import partial

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torch.nn import functional

from cervbench.plugin import (
    Encoder,
    Method,
    SettingsError,
    View,
    in_float32,
    named_policy,
    on_device,
    own_rows,
)
from cervbench_mae.decoder import Decoder


class MAE(Method):
    def build(self, encoder: Encoder) -> None:
        vit = encoder.backbone
        if not isinstance(vit, VisionTransformer):
            raise SettingsError(
                f"mae leaves patches out, which {type(vit).__name__} cannot; give it a ViT of timm's class "
                "VisionTransformer (--backbone vit, or vit_tiny_patch16_224, say)"
            )
        embed = vit.patch_embed
        side, patch = embed.img_size[0], embed.patch_size[0]
        if side % patch or embed.num_patches < 2:
            raise SettingsError(
                f"mae cuts images into two or more whole patches; {side} px are not so many of {patch} px; "
                "take another --set protocol.image_size"
            )
        self.visible = _visible(embed.num_patches, self.config.masking)
        self.decoder = Decoder(
            encoder.width,
            self.config.decoder_width,
            self.config.decoder_depth,
            vit.num_prefix_tokens,
            embed.grid_size,
            pixels=embed.proj.weight[0].numel(),
        )

    def views(self) -> Sequence[View]:
        return (named_policy(self.config.policy),)

    def loss(self, views: Sequence[Tensor]) -> Tensor:
        vit: VisionTransformer = self.encoder.backbone
        (images,) = views
        orders = partial(shuffled, places=vit.patch_embed.num_patches)
        order = on_device(own_rows(orders, len(images)), images.device)
        tokens = encoded(vit, images, order[:, : self.visible])
        hidden = taken(patches(images, vit.patch_embed.patch_size), order[:, self.visible :])
        return reconstruction_error(self.decoder(tokens, order), hidden)


def encoded(vit: VisionTransformer, images: Tensor, visible: Tensor) -> Tensor:
    """timm's `forward_features` of the visible patches alone; the blocks never see the others."""
    tokens = vit._pos_embed(vit.patch_embed(images))
    prefix = vit.num_prefix_tokens
    tokens = torch.cat([tokens[:, :prefix], taken(tokens[:, prefix:], visible)], 1)
    last: Tensor = vit.norm(vit.blocks(vit.norm_pre(tokens)))
    return last


def shuffled(count: int, places: int) -> Tensor:
    """The places of each image in an order of its own; drawn on the host, the same for every device."""
    return torch.rand(count, places).argsort(1)


def taken(rows: Tensor, chosen: Tensor) -> Tensor:
    """The chosen places of n × places × values, in their order: n × fewer × values."""
    return rows.gather(1, chosen[:, :, None].expand(-1, -1, rows.shape[2]))


def patches(images: Tensor, size: tuple[int, int]) -> Tensor:
    """n × patches × values, rows of patches from top to bottom."""
    rows = images.unflatten(3, (-1, size[1])).unflatten(2, (-1, size[0]))
    return rows.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


@in_float32
def reconstruction_error(predicted: Tensor, hidden: Tensor) -> Tensor:
    """Mean squared error of patches whose own values are brought to mean 0 and deviation 1."""
    mean, variance = hidden.mean(-1, keepdim=True), hidden.var(-1, keepdim=True)
    return functional.mse_loss(predicted, (hidden - mean) / (variance + 1e-6).sqrt())


def _visible(places: int, masking: float) -> int:
    """How many are seen: at least one, and not all."""
    return min(max(1, round(places * (1 - masking))), places - 1)
