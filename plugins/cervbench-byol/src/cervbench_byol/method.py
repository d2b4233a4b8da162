"""BYOL, as a method of cervbench."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from cervbench.plugin import Encoder, Follower, Method, Progress, in_float32


class BYOL(Method):
    def build(self, encoder: Encoder) -> None:
        config = self.config
        self.projector = perceptron(encoder.width, config.hidden, config.projection)
        self.predictor = perceptron(config.projection, config.hidden, config.projection)
        self.target = Follower(self.online, config.keep, config.memory, config.rising)

    @property
    def online(self) -> nn.Sequential:
        """What the target follows."""
        return nn.Sequential(self.encoder, self.projector)

    def loss(self, views: Sequence[Tensor]) -> Tensor:
        one, other = views
        return self._error(one, other) + self._error(other, one)

    def _error(self, view: Tensor, other: Tensor) -> Tensor:
        """Of predicting, from one view, what the target makes of the other."""
        return regression_error(self.predictor(self.online(view)), self.target(other))

    def after_step(self, progress: Progress) -> None:
        self.target.follow(self.online, progress)


def perceptron(width: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, out))


@in_float32
def regression_error(predicted: Tensor, wanted: Tensor) -> Tensor:
    """The mean squared distance of vectors of unit length: 2 - 2 · cosine."""
    return 2 - 2 * functional.cosine_similarity(predicted, wanted).mean()
