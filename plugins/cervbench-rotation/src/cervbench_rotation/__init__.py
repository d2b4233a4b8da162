"""Rotation: an image is turned by quarters, and the encoder is to say by how many."""

from collections.abc import Mapping

from pydantic import Field

from cervbench.plugin import MethodConfig, Offer, hookimpl


class Config(MethodConfig):
    all_turns: bool = Field(True, description="each image in all four turns; otherwise in one, drawn")


@hookimpl
def cervbench_methods() -> Mapping[str, Offer]:
    return {
        "rotation": Offer(
            Config,
            "cervbench_rotation.method:RotationPrediction",
            "Gidaris et al., Unsupervised Representation Learning by Predicting Image Rotations, ICLR 2018",
        )
    }
