"""BYOL: a network predicts what its own moving average makes of another view."""

from collections.abc import Mapping

from pydantic import Field

from cervbench.plugin import MethodConfig, Offer, hookimpl


class Config(MethodConfig):
    hidden: int = Field(2048, gt=0, description="width of the hidden layer of projector and predictor")
    projection: int = Field(512, gt=0, description="width of the space where views are compared")
    keep: float = Field(0.99, ge=0, lt=1, description="what the target keeps of itself in a step, at most")
    memory: float = Field(
        0.1, gt=0, le=1, description="how long the target remembers, at most; share of the steps"
    )
    rising: bool = Field(False, description="whether the target keeps ever more, up to all of itself")


@hookimpl
def cervbench_methods() -> Mapping[str, Offer]:
    return {
        "byol": Offer(
            Config,
            "cervbench_byol.method:BYOL",
            "Grill et al., Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning, 2020",
        )
    }
