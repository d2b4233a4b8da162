"""Jigsaw, as a method of cervbench."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cervbench.plugin import Encoder, Method, View, on_device
from cervbench_jigsaw.puzzle import PIECES, Puzzle, orders


class Jigsaw(Method):
    def build(self, encoder: Encoder) -> None:
        config = self.config
        self.embed = nn.Sequential(nn.Linear(encoder.width, config.embedding), nn.ReLU())
        self.arrange = nn.Sequential(
            nn.Linear(PIECES * config.embedding, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.permutations),
        )
        self.orders: Tensor
        self.register_buffer("orders", orders(config.permutations, config.chosen == "distant"))

    def views(self) -> Sequence[View]:
        return (Puzzle(patch_size(self.encoder, self.config.patch), self.config.turned),)

    def loss(self, views: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        (pieces,) = views
        said = self.embed(self.encoder(pieces.flatten(0, 1))).unflatten(0, pieces.shape[:2])
        drawn = on_device(torch.randint(len(self.orders), (len(pieces),)), said.device)
        # What is said of a piece does not depend on its place, so shuffling that shuffles the pieces.
        logits = self.arrange(laid(said, self.orders[drawn]).flatten(1)).float()
        right = (logits.argmax(1) == drawn).float().mean()
        return functional.cross_entropy(logits, drawn), {"accuracy": right}


def laid(said: Tensor, order: Tensor) -> Tensor:
    """What is said of pieces, n × 9 × width, with piece order[i] in place i."""
    return said.gather(1, order[..., None].expand_as(said))


def patch_size(encoder: Encoder, wanted: int) -> int:
    """A ViT takes images of one size, so its pieces are of that size; a CNN takes any."""
    embedding = getattr(encoder.backbone, "patch_embed", None)
    fixed = getattr(embedding, "img_size", None)
    return fixed[0] if fixed else wanted
