"""SimSiam: two views predict each other, and gradients stop at what is predicted."""

from collections.abc import Mapping

from pydantic import Field

from cervbench.plugin import MethodConfig, Offer, hookimpl


class Config(MethodConfig):
    projection: int = Field(
        512, gt=0, description="width of the projector's layers, where views are compared"
    )
    hidden: int = Field(128, gt=0, description="width of the predictor's hidden layer, a bottleneck")


@hookimpl
def cervbench_methods() -> Mapping[str, Offer]:
    return {
        "simsiam": Offer(
            Config,
            "cervbench_simsiam.method:SimSiam",
            "Chen and He, Exploring Simple Siamese Representation Learning, CVPR 2021",
        )
    }
