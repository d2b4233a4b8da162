"""SimCLR: two views of an image are each other's answer, among all views of the batch."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from cervbench.plugin import MethodConfig, Offer, PretextConfig, hookimpl


class Config(MethodConfig):
    temperature: float = Field(0.2, gt=0, description="what similarities are divided by")
    hidden: int = Field(512, gt=0, description="width of the projector's hidden layer")
    projection: int = Field(128, gt=0, description="width of the space where views are compared")


class PublishedConfig(PretextConfig):
    """What Pal et al. print, as defaults."""

    optimizer: Literal["adamw", "sgd"] = Field("sgd", description="of the pretext stage")
    learning_rate: float = Field(0.01, gt=0, description="at its highest, after the warm-up")
    weight_decay: float = Field(1e-5, ge=0, description="of matrices and kernels; biases and norms have none")
    policy: Literal["published"] = Field(
        "published", description="of the views: the image as it is, and one augmentation"
    )
    temperature: float = Field(0.1, gt=0, description="what similarities are divided by")
    projection: int = Field(64, gt=0, description="width of the dense layer whose vectors are compared")


@hookimpl
def cervbench_methods() -> Mapping[str, Offer]:
    return {
        "simclr": Offer(
            Config,
            "cervbench_simclr.method:SimCLR",
            "Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020",
        ),
        "simclr-published": Offer(
            PublishedConfig,
            "cervbench_simclr.method:PublishedSimCLR",
            "Pal et al., Deep Cervix Model Development from Heterogeneous and Partially Labeled Image "
            "Datasets, arXiv 2201.07013, 2022",
        ),
    }
