"""SimSiam, as a method of cervbench."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cervbench.plugin import Encoder, Method, in_float32


class SimSiam(Method):
    def build(self, encoder: Encoder) -> None:
        projection, hidden = self.config.projection, self.config.hidden
        self.projector = nn.Sequential(
            *_normed(encoder.width, projection),
            *_normed(projection, projection),
            nn.Linear(projection, projection, bias=False),
            nn.BatchNorm1d(projection, affine=False),
        )
        self.predictor = nn.Sequential(*_normed(projection, hidden), nn.Linear(hidden, projection))

    def loss(self, views: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        one, other = (self.projector(self.encoder(view)) for view in views)
        together = negative_cosine(self.predictor(one), other) + negative_cosine(self.predictor(other), one)
        return together / 2, {"projection_spread": spread(one)}


def _normed(width: int, out: int) -> tuple[nn.Module, ...]:
    return nn.Linear(width, out, bias=False), nn.BatchNorm1d(out), nn.ReLU()


@in_float32
def negative_cosine(predicted: Tensor, wanted: Tensor) -> Tensor:
    """The mean cosine, with its sign turned; no gradient flows into what is wanted."""
    return -functional.cosine_similarity(predicted, wanted.detach()).mean()


@torch.no_grad()
def spread(projected: Tensor) -> Tensor:
    """1 where projections point in all directions alike, 0 where all are one: the method has collapsed."""
    unit = functional.normalize(projected.float())
    return unit.std(0, correction=0).mean() * unit.shape[1] ** 0.5
