"""Jigsaw: nine pieces of an image are shuffled, and the encoder is to say how."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from cervbench.plugin import Offer, PretextConfig, ViewPolicy, hookimpl


class Config(PretextConfig):
    policy: Literal["turns", ViewPolicy] = Field(
        "turns", description="of the view that is cut up: all turns and mirrors of the image, or by name"
    )
    permutations: int = Field(100, ge=2, le=1000, description="orders to tell apart; 1000 in the source")
    chosen: Literal["random", "distant"] = Field(
        "random", description="drawn as they come, or each as far as can be from those before it"
    )
    patch: int = Field(
        48, ge=48, description="side of a piece in pixels; a ViT is given pieces of the one size it takes"
    )
    embedding: int = Field(128, gt=0, description="width of what is said of a piece")
    hidden: int = Field(512, gt=0, description="width of the layer that sees all nine")


@hookimpl
def cervbench_methods() -> Mapping[str, Offer]:
    return {
        "jigsaw": Offer(
            Config,
            "cervbench_jigsaw.method:Jigsaw",
            "Noroozi and Favaro, Unsupervised Learning of Visual Representations by Solving Jigsaw "
            "Puzzles, ECCV 2016",
            revision=2,
        )
    }
