"""Multi-crop: large and small parts of an image, and an encoder's vector of crops of either size."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
import torch
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torch.nn import functional

from cervbench.plugin import Crop, Encoder, Normalise, Policy, Pyramid, named_policy

LEAST_SIDE = 32
"""Of a local crop, in pixels: with fewer, VGG-16 and its like have nothing left after their last pooling."""


def policy_of_area(name: str, smallest: float, largest: float) -> Policy:
    """A named policy, its crops of another area."""
    operations = named_policy(name).operations
    area = (smallest, largest)
    return Policy([replace(each, scale=area) if isinstance(each, Crop) else each for each in operations])


@dataclass(frozen=True)
class Local:
    """A policy's views at a share of the side: what is small on the image is small for the encoder.

    Their side is a multiple of `patch`.
    """

    policy: Policy
    share: float
    patch: int = 1

    def draw(self, rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        return self.policy.draw(rng, count)

    def apply(
        self, pixels: Pyramid, rows: Tensor, drawn: Mapping[str, np.ndarray], normalise: Normalise
    ) -> Tensor:
        views = self.policy.apply(pixels, rows, drawn, normalise)
        patches = max(ceil(LEAST_SIDE / self.patch), round(pixels.size * self.share / self.patch))
        side = min(pixels.size, self.patch * patches)
        if side == pixels.size:
            return views
        return functional.interpolate(views, size=(side, side), mode="bilinear", antialias=True)


def any_size(encoder: Encoder) -> bool:
    """Whether `vector_of` can make something of crops smaller than the images it was built for.

    How large these will be is not known yet, so the smallest are tried.
    """
    if type(encoder.backbone) is VisionTransformer:  # a class derived from it may have tokens of its own
        return encoder.backbone.pos_embed is not None
    return encoder.takes(LEAST_SIDE)


def patch_of(encoder: Encoder) -> int:
    """What the side of an image has to be a multiple of, for all of it to be seen."""
    vit = encoder.backbone
    return vit.patch_embed.patch_size[0] if isinstance(vit, VisionTransformer) else 1


def vector_of(encoder: Encoder, images: Tensor) -> Tensor:
    """`encoder(images)`, whatever their size: the positions of a ViT are interpolated to its patches."""
    vit = encoder.backbone
    if not isinstance(vit, VisionTransformer) or images.shape[-2:] == vit.patch_embed.img_size:
        vector: Tensor = encoder(images)
        return vector
    embed = vit.patch_embed
    grid = embed.proj(images)
    patches = embed.norm(grid.flatten(2).transpose(1, 2))
    without = 0 if vit.no_embed_class else vit.num_prefix_tokens
    positions = resample_abs_pos_embed(vit.pos_embed, grid.shape[-2:], embed.grid_size, without)
    prefix = [
        token.expand(len(images), -1, -1) for token in (vit.cls_token, vit.reg_token) if token is not None
    ]
    if vit.no_embed_class:
        tokens = torch.cat([*prefix, patches + positions], 1)
    else:
        tokens = torch.cat([*prefix, patches], 1) + positions
    return encoder.pool(vit.norm(vit.blocks(vit.norm_pre(vit.patch_drop(vit.pos_drop(tokens))))))
