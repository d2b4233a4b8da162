"""SimCLR: two views of an image are each other's answer, among all views of the batch."""

from collections.abc import Mapping

from pydantic import Field

from cervbench.plugin import MethodConfig, Offer, hookimpl


class Config(MethodConfig):
    temperature: float = Field(0.2, gt=0)
    hidden: int = Field(512, gt=0, description="width of the projector's hidden layer")
    projection: int = Field(128, gt=0, description="width of the space where views are compared")


@hookimpl
def cervbench_methods() -> Mapping[str, Offer]:
    return {
        "simclr": Offer(
            Config,
            "cervbench_simclr.method:SimCLR",
            "Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020",
        )
    }
