"""SimCLR, as a method of cervbench: with the shared views, and as published for the cervix."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cervbench.plugin import (
    Brightness,
    Encoder,
    Flip,
    Gamma,
    Method,
    Policy,
    Rotation,
    Shift,
    View,
    Zoom,
    gather,
    in_float32,
)


class SimCLR(Method):
    def build(self, encoder: Encoder) -> None:
        hidden, projection = self.config.hidden, self.config.projection
        self.projector = nn.Sequential(
            nn.Linear(encoder.width, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, projection, bias=False),
        )

    def loss(self, views: Sequence[Tensor]) -> Tensor:
        one, other = self.projector(self.encoder(torch.cat(list(views)))).chunk(2)
        return nt_xent(torch.cat([gather(one), gather(other)]), self.config.temperature)


class PublishedSimCLR(SimCLR):
    """A pair is an image and one augmentation of it, compared after one dense layer."""

    def build(self, encoder: Encoder) -> None:
        self.projector = nn.Sequential(nn.Linear(encoder.width, self.config.projection), nn.ReLU())

    def views(self) -> Sequence[View]:
        augmented = (Flip(), Rotation(), Shift(), Zoom(), Gamma(), Brightness())
        return (Policy(()), Policy(augmented))


@in_float32
def nt_xent(projected: Tensor, temperature: float) -> Tensor:
    """The mean over all 2N views of -log of the share of its partner among all other views.

    Rows n and n + N are the two views of image n; the denominator leaves out the view itself.
    """
    unit = functional.normalize(projected)
    similarity = unit @ unit.T / temperature
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    partner = torch.arange(len(unit), device=unit.device).roll(len(unit) // 2)
    return functional.cross_entropy(similarity.masked_fill(itself, -torch.inf), partner)
