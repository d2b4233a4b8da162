"""BYOL, as a method of cervbench."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cervbench.plugin import Encoder, Method, Progress, in_float32, keep_at, moving_average


class BYOL(Method):
    def build(self, encoder: Encoder) -> None:
        hidden, projection = self.config.hidden, self.config.projection
        self.projector = perceptron(encoder.width, hidden, projection)
        self.predictor = perceptron(projection, hidden, projection)
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    @property
    def online(self) -> nn.Sequential:
        """What the target follows."""
        return nn.Sequential(self.encoder, self.projector)

    def loss(self, views: Sequence[Tensor]) -> Tensor:
        one, other = views
        return self._error(one, other) + self._error(other, one)

    def _error(self, view: Tensor, other: Tensor) -> Tensor:
        """Of predicting, from one view, what the target makes of the other."""
        with torch.no_grad():
            wanted = self.target(other)
        return regression_error(self.predictor(self.projector(self.encoder(view))), wanted)

    def after_step(self, progress: Progress) -> None:
        keep = keep_at(progress, self.config.keep, self.config.memory, self.config.rising)
        moving_average(self.target, self.online, keep)


def perceptron(width: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, out))


@in_float32
def regression_error(predicted: Tensor, wanted: Tensor) -> Tensor:
    """The mean squared distance of vectors of unit length: 2 - 2 · cosine."""
    return 2 - 2 * functional.cosine_similarity(predicted, wanted).mean()
