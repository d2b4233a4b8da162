"""MAE: most of an image is hidden, and its pixels are to be filled in from the rest."""

from collections.abc import Mapping

from pydantic import Field

from cervbench.plugin import MethodConfig, Offer, ViewPolicy, hookimpl


class Config(MethodConfig):
    learning_rate: float = Field(1e-3, gt=0, description="at its highest, after the warm-up")
    weight_decay: float = Field(0.05, ge=0, description="of matrices and kernels; biases and norms have none")
    policy: ViewPolicy = Field("A", description="of the view, by name")
    masking: float = Field(0.75, gt=0, lt=1, description="share of the patches that is hidden")
    decoder_width: int = Field(
        192, gt=0, multiple_of=32, description="of the decoder's tokens; an attention head is 32 wide"
    )
    decoder_depth: int = Field(4, gt=0, description="of the decoder, in blocks")


@hookimpl
def cervbench_methods() -> Mapping[str, Offer]:
    return {
        "mae": Offer(
            Config,
            "cervbench_mae.method:MAE",
            "He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022",
        )
    }
