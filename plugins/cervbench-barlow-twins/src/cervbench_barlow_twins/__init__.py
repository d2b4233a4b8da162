"""Barlow Twins: each feature agrees between two views of an image, and repeats no other feature."""

from collections.abc import Mapping

from pydantic import Field, PositiveInt

from cervbench.plugin import MethodConfig, Offer, hookimpl


class Config(MethodConfig):
    redundancy_weight: float = Field(0.005, ge=0, description="λ, of the redundancy term")
    projector: tuple[PositiveInt, ...] = Field(
        (1024, 1024, 1024), description="widths of the projector's layers; [] is no projector"
    )


@hookimpl
def cervbench_methods() -> Mapping[str, Offer]:
    return {
        "barlow-twins": Offer(
            Config,
            "cervbench_barlow_twins.method:BarlowTwins",
            "Zbontar et al., Barlow Twins: Self-Supervised Learning via Redundancy Reduction, ICML 2021",
        )
    }
