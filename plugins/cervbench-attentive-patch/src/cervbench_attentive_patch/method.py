"""Attentive patch, as a method of cervbench: jigsaw before the labels, attention over patches with them."""

import numpy as np
import torch
from cervbench_jigsaw.method import Jigsaw
from cervbench_jigsaw.puzzle import ACROSS, PIECES, SHARE
from torch import Tensor, nn
from torch.nn import functional

from cervbench.plugin import Encoder, SettingsError


class AttentivePatch(Jigsaw):
    def build(self, encoder: Encoder) -> None:
        backbone = encoder.backbone
        if isinstance(getattr(backbone, "norm", None), nn.LayerNorm):
            raise SettingsError(
                f"attentive-patch weighs a patch by the mean of its vector, and {type(backbone).__name__} "
                "ends in a layer norm, after which that mean is one for all; give it a CNN (--backbone "
                "resnet50, say)"
            )
        super().build(encoder)

    def classifier(self, encoder: Encoder, classes: int) -> nn.Module:
        config = self.config
        return AttentiveClassifier(encoder, self.embed, config.embedding, config.reduced, self.patch, classes)


class AttentiveClassifier(nn.Module):
    """Cuts an image into nine patches and weighs each by what it shows, before it looks at all of them."""

    def __init__(
        self, encoder: Encoder, embed: nn.Module, embedding: int, reduced: int, patch: int, classes: int
    ) -> None:
        super().__init__()
        self.encoder, self.embed, self.patch = encoder, embed, patch
        self.weigh = nn.Linear(PIECES, PIECES)
        self.reduce = nn.Sequential(nn.Linear(PIECES * embedding, reduced), nn.ReLU())
        self.head = nn.Linear(reduced, classes)
        nn.init.zeros_(self.head.weight)  # every class equally likely, as a linear layer on an encoder starts
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        vectors, weights = self._seen(images)
        weighed = self.embed(vectors) * weights[..., None]
        logits: Tensor = self.head(self.reduce(weighed.flatten(1)))
        return logits

    def attention(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The weight of each patch, n × 9, and where the patches are, 9 × 4."""
        where = torch.from_numpy(edges(images.shape[-1]) / images.shape[-1])
        return self._seen(images)[1], torch.cat([where[:, :2], where[:, 2:] - where[:, :2]], 1)

    def _seen(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's vector of each patch, n × 9 × width, and its weight, n × 9.

        The mean of a vector over its width is that of the last map over height, width and channels.
        """
        cut = patches(images, self.patch)
        vectors = self.encoder(cut.flatten(0, 1)).unflatten(0, cut.shape[:2])
        return vectors, torch.sigmoid(self.weigh(vectors.mean(2)))


def patches(images: Tensor, size: int) -> Tensor:
    """n × 9 × 3 × size × size, row by row, as they lie in whole images."""
    cut = [
        functional.interpolate(
            images[..., top:bottom, left:right], size=(size, size), mode="bilinear", antialias=True
        )
        for left, top, right, bottom in edges(images.shape[-1]).tolist()
    ]
    return torch.stack(cut, 1)


def edges(side: int) -> np.ndarray:
    """Left, top, right and bottom of each patch in whole pixels of an image of this side: 9 × 4.

    In the middle of each of nine cells, 153/170 as wide: with the source's gap.
    """
    rows, columns = np.divmod(np.arange(PIECES), ACROSS)
    middle = np.stack([columns, rows], axis=1) + 0.5
    return np.rint(side / ACROSS * np.concatenate([middle - SHARE / 2, middle + SHARE / 2], 1)).astype(int)
