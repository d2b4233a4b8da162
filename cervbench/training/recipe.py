"""What decides a trained method, as the objects that it is made from. Imports no torch."""

from dataclasses import dataclass

from cervbench.plugin.offers import BackboneOffer, Offer
from cervbench.plugin.settings import Settings
from cervbench.protocol.protocol import Pretext


@dataclass(frozen=True)
class Recipe:
    offer: Offer
    config: Settings
    backbone: str
    backbone_offer: BackboneOffer | None
    init: str
    image_size: int
    pretext: Pretext
    seed: int
    fold: int

    @property
    def purpose(self) -> tuple[object, ...]:
        return ("seed", self.seed, "fold", self.fold)
