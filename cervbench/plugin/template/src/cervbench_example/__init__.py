"""What this package adds to cervbench. It imports no torch, so that listing stays quick."""

from collections.abc import Mapping

from pydantic import Field

from cervbench.plugin import MethodConfig, Offer, hookimpl


class Config(MethodConfig):
    """Settings of the method, beside those of every method: optimizer, learning_rate, policy and so on."""

    projection: int = Field(64, gt=0, description="width of the space where views are compared")
    spread: float = Field(1.0, ge=0, description="weight of uniformity beside alignment")


@hookimpl
def cervbench_methods() -> Mapping[str, Offer]:
    return {
        "example": Offer(
            Config,
            "cervbench_example.method:Example",
            "Wang and Isola, Understanding Contrastive Representation Learning through Alignment and "
            "Uniformity on the Hypersphere, ICML 2020",
        )
    }
