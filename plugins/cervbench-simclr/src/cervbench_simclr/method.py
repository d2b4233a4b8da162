"""SimCLR, as a method of cervbench."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cervbench.plugin import Encoder, Method, View, simclr_policy


class SimCLR(Method):
    def build(self, encoder: Encoder) -> None:
        hidden, projection = self.config.hidden, self.config.projection
        self.projector = nn.Sequential(
            nn.Linear(encoder.width, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, projection, bias=False),
        )

    def views(self) -> Sequence[View]:
        return (simclr_policy(), simclr_policy())

    def loss(self, views: Sequence[Tensor]) -> Tensor:
        assert self.encoder is not None
        projected = self.projector(self.encoder(torch.cat(list(views))))
        return nt_xent(projected, self.config.temperature)


def nt_xent(projected: Tensor, temperature: float) -> Tensor:
    """The mean over all 2N views of -log of the share of its partner among all other views.

    Rows n and n + N are the two views of image n; the denominator leaves out the view itself.
    """
    with torch.autocast(projected.device.type, enabled=False):  # bf16 cannot tell near partners apart
        unit = functional.normalize(projected.float())
        similarity = unit @ unit.T / temperature
        itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
        partner = torch.arange(len(unit), device=unit.device).roll(len(unit) // 2)
        return functional.cross_entropy(similarity.masked_fill(itself, -torch.inf), partner)
