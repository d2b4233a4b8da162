"""Jigsaw, as a method of cervbench."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cervbench.plugin import Encoder, Method, SettingsError, View, on_device, own_rows
from cervbench_jigsaw import Config
from cervbench_jigsaw.puzzle import PIECES, Puzzle, orders, puzzle_policy


class Jigsaw(Method):
    def build(self, encoder: Encoder) -> None:
        config = self.config
        self.patch = patch_size(encoder, config)
        self.embed = nn.Sequential(nn.Linear(encoder.width, config.embedding), nn.ReLU())
        self.arrange = nn.Sequential(
            nn.Linear(PIECES * config.embedding, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.permutations),
        )
        self.orders: Tensor
        self.register_buffer("orders", orders(config.permutations, config.chosen == "distant"))

    def views(self) -> Sequence[View]:
        return (Puzzle(puzzle_policy(self.config.policy), self.patch),)

    def loss(self, views: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        (pieces,) = views
        said = self.embed(self.encoder(pieces.flatten(0, 1))).unflatten(0, pieces.shape[:2])
        drawn = on_device(own_rows(self.any_orders, len(pieces)), said.device)
        # What is said of a piece does not depend on its place, so shuffling that shuffles the pieces.
        logits = self.arrange(laid(said, self.orders[drawn]).flatten(1)).float()
        right = (logits.argmax(1) == drawn).float().mean()
        return functional.cross_entropy(logits, drawn), {"accuracy": right}

    def any_orders(self, count: int) -> Tensor:
        return torch.randint(len(self.orders), (count,))


def laid(said: Tensor, order: Tensor) -> Tensor:
    """What is said of pieces, n × 9 × width, with piece order[i] in place i."""
    return said.gather(1, order[..., None].expand_as(said))


def patch_size(encoder: Encoder, config: Config) -> int:
    """As it is set, where the encoder takes that, as a CNN does; otherwise the one size that it takes."""
    if encoder.takes(config.patch):
        return config.patch
    [fixed, *_] = getattr(getattr(encoder.backbone, "patch_embed", None), "img_size", None) or [None]
    if fixed is None or config.patch != Config.model_fields["patch"].default:
        to_do = f"leave out patch, and it is {fixed}" if fixed else "set another (--set patch=SIDE)"
        raise SettingsError(
            f"{type(encoder.backbone).__name__} makes no vector of a piece of {config.patch} px: {to_do}"
        )
    return int(fixed)
