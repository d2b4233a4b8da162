"""MoCo v2: a view finds the other view of its image among those of earlier batches."""

from collections.abc import Mapping

from pydantic import Field

from cervbench.plugin import MethodConfig, Offer, hookimpl


class Config(MethodConfig):
    temperature: float = Field(0.2, gt=0, description="what similarities are divided by")
    queue: int = Field(
        128, gt=0, description="keys of earlier batches, the newest; well under half of the train images"
    )
    keep: float = Field(
        0.999, ge=0, lt=1, description="what the maker of keys keeps of itself in a step, at most"
    )
    memory: float = Field(
        0.1, gt=0, le=1, description="how long the maker of keys remembers, at most; share of the steps"
    )
    hidden: int = Field(512, gt=0, description="width of the projector's hidden layer")
    projection: int = Field(128, gt=0, description="width of the space where views are compared")


@hookimpl
def cervbench_methods() -> Mapping[str, Offer]:
    return {
        "moco": Offer(
            Config,
            "cervbench_moco.method:MoCo",
            "Chen et al., Improved Baselines with Momentum Contrastive Learning, 2020",
        )
    }
