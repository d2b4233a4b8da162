"""The decoder: small, and thrown away with the pretext task."""

from functools import partial

import torch
from timm.layers import build_sincos2d_pos_embed
from timm.models.vision_transformer import Block
from torch import Tensor, nn


class Decoder(nn.Module):
    """Predicts the pixels of the hidden patches from the tokens of the visible ones."""

    HEAD = 32
    """Width of an attention head, as in the paper."""
    positions: Tensor

    def __init__(
        self, seen: int, width: int, depth: int, prefix: int, grid: tuple[int, int], pixels: int
    ) -> None:
        """`seen` is the width of the tokens, `prefix` the number of those that are no patches; `pixels`
        are the values of a patch."""
        super().__init__()
        self.prefix = prefix
        self.embed = nn.Linear(seen, width)
        self.hidden_token = nn.Parameter(torch.empty(width).normal_(std=0.02))
        self.register_buffer("positions", build_sincos2d_pos_embed(grid, width), persistent=False)
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.blocks = nn.Sequential(
            *(Block(width, width // self.HEAD, qkv_bias=True, norm_layer=norm) for _ in range(depth))
        )
        self.norm = norm(width)
        self.predict = nn.Linear(width, pixels)
        self.apply(_as_published)

    def forward(self, tokens: Tensor, order: Tensor) -> Tensor:
        """Tokens of the prefix and of the patches that stand first in `order`; predicts those that follow.

        Patches stay in this order, which blocks do not see: where each lies is told by its position.
        """
        seen = self.embed(tokens)
        hidden = self.prefix + order.shape[1] - seen.shape[1]
        standing_in = self.hidden_token.to(seen.dtype).expand(len(seen), hidden, -1)
        patches = torch.cat([seen[:, self.prefix :], standing_in], 1) + self.positions[order]
        decoded = self.blocks(torch.cat([seen[:, : self.prefix], patches], 1))
        predicted: Tensor = self.predict(self.norm(decoded[:, -hidden:]))
        return predicted


def _as_published(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
