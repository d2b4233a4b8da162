"""MoCo v2, as a method of cervbench."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cervbench.plugin import Encoder, Follower, Method, Progress, gather, in_float32


class MoCo(Method):
    queue: Tensor
    oldest: Tensor

    def build(self, encoder: Encoder) -> None:
        config = self.config
        self.projector = nn.Sequential(
            nn.Linear(encoder.width, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.projection)
        )
        self.follower = Follower(self.leader, config.keep, config.memory)
        strangers = functional.normalize(torch.randn(config.queue, config.projection))
        self.register_buffer("queue", strangers)
        self.register_buffer("oldest", torch.zeros((), dtype=torch.int64))

    @property
    def leader(self) -> nn.Sequential:
        """What makes queries, and what the maker of keys follows."""
        return nn.Sequential(self.encoder, self.projector)

    def loss(self, views: Sequence[Tensor]) -> Tensor:
        asking, answering = views
        queries = self.leader(asking)
        keys = functional.normalize(self.follower(answering).float())
        # The queue changes before the gradient is computed, which needs it as it is now.
        loss = info_nce(queries, keys, self.queue.clone(), self.config.temperature)
        self._enqueue(gather(keys))
        return loss

    @torch.no_grad()
    def _enqueue(self, keys: Tensor) -> None:
        """Keys take the places of the oldest, which the device alone knows: nothing waits for it."""
        newest = keys[-len(self.queue) :]
        places = (self.oldest + torch.arange(len(newest), device=keys.device)) % len(self.queue)
        self.queue.index_copy_(0, places, newest)
        self.oldest.add_(len(newest)).remainder_(len(self.queue))

    def after_step(self, progress: Progress) -> None:
        self.follower.follow(self.leader, progress)


@in_float32
def info_nce(queries: Tensor, keys: Tensor, strangers: Tensor, temperature: float) -> Tensor:
    """The mean of -log of the share of a query's own key among that key and the strangers.

    Keys and strangers have unit length.
    """
    unit = functional.normalize(queries)
    own = (unit * keys).sum(1, keepdim=True)
    similarity = torch.cat([own, unit @ strangers.T], 1) / temperature
    first = torch.zeros(len(unit), dtype=torch.int64, device=unit.device)
    return functional.cross_entropy(similarity, first)
