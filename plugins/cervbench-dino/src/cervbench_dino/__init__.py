"""DINO: whatever is shown of an image, the student is to say what its slower self says of most of it."""

from collections.abc import Mapping

from pydantic import Field

from cervbench.plugin import MethodConfig, Offer, hookimpl


class Config(MethodConfig):
    learning_rate: float = Field(2.5e-4, gt=0, description="at its highest, after the warm-up")
    weight_decay: float = Field(0.04, ge=0, description="of matrices and kernels; biases and norms have none")
    division: float = Field(0.4, gt=0.05, lt=1, description="area from which on a crop is a global one")
    local_crops: int = Field(4, ge=0, description="smaller crops, which the student alone sees")
    local_size: float = Field(
        0.5, gt=0, le=1, description="side of a local crop, as a share of the image's; in whole patches"
    )
    hidden: int = Field(2048, gt=0, description="width of the head's two hidden layers")
    bottleneck: int = Field(256, gt=0, description="width in which prototypes are compared with")
    prototypes: int = Field(2048, gt=1, description="how many answers there are to what an image shows")
    frozen: float = Field(0.01, ge=0, lt=1, description="share of the steps in which prototypes stay put")
    student_temperature: float = Field(0.1, gt=0, description="what the student's cosines are divided by")
    cold_temperature: float = Field(0.04, gt=0, description="of the teacher in the first step")
    warm_temperature: float = Field(0.04, gt=0, description="of the teacher once it is warm")
    warm_up: float = Field(0.3, gt=0, le=1, description="share of the steps from cold to warm")
    centre_keep: float = Field(
        0.9, ge=0, lt=1, description="what the centre keeps of itself in a step, at most"
    )
    keep: float = Field(
        0.996, ge=0, lt=1, description="what the teacher keeps of itself in the first step, at most"
    )
    memory: float = Field(
        0.1, gt=0, le=1, description="how long the teacher remembers at first, at most; share of the steps"
    )


@hookimpl
def cervbench_methods() -> Mapping[str, Offer]:
    return {
        "dino": Offer(
            Config,
            "cervbench_dino.method:DINO",
            "Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021",
            revision=2,
        )
    }
