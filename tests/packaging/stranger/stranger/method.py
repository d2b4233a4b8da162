"""Two views of an image come close, and the batch stays spread."""

from collections.abc import Sequence

from torch import Tensor, nn

from cervbench.plugin import Encoder, Method, View, plain_policy


class Spread(Method):
    def build(self, encoder: Encoder) -> None:
        self.projector = nn.Linear(encoder.width, 16)

    def views(self) -> Sequence[View]:
        return (plain_policy(), plain_policy())

    def loss(self, views: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        one, two = (self.projector(self.encoder(view)) for view in views)
        apart = (self.config.margin - one.std(0)).relu().mean()
        together = (one - two).square().mean()
        return together + apart, {"together": together, "apart": apart}
