"""What is demanded of a backbone."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from cervbench.checks.check import CheckFailed
from cervbench.plugin import BackboneOffer
from cervbench.plugin.problems import home_of
from cervbench.protocol.protocol import TIERS, load
from cervbench.training.initial_weights import build_encoder


@dataclass(frozen=True)
class ExaminedBackbone:
    offered_as: str
    offer: BackboneOffer

    @property
    def name(self) -> str:
        return f"backbone {self.offered_as}"

    @property
    def home(self) -> str:
        return home_of(self.offer.build)


def it_makes_a_vector_of_its_width_at_every_image_size(examined: ExaminedBackbone) -> None:
    """The encoder gives n × width finite numbers and maps, at the image size of each tier."""
    for size in sorted({load(tier).image_size for tier in TIERS}):
        encoder = build_encoder(examined.offered_as, examined.offer, "random", size, ("check",)).eval()
        with torch.inference_mode():
            vectors, maps = encoder(torch.rand(2, 3, size, size)), encoder.maps(torch.rand(2, 3, size, size))
        if vectors.shape != (2, encoder.width) or maps.shape[:2] != (2, encoder.width):
            raise CheckFailed(
                f"at {size} px two images become {tuple(vectors.shape)} and maps {tuple(maps.shape)}, where "
                f"2 × {encoder.width} and 2 × {encoder.width} × height × width are due",
                "return a timm model made with num_classes=0 whose num_features is the width of its last map",
            )
        if not bool(torch.isfinite(vectors).all()):
            raise CheckFailed(f"at {size} px the vectors are not finite", "look at its first weights")


DEMANDS: tuple[Callable[[ExaminedBackbone], str | None], ...] = (
    it_makes_a_vector_of_its_width_at_every_image_size,
)
