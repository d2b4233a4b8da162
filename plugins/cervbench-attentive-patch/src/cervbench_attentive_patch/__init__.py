"""Attentive patch: jigsaw's encoder, and a classifier that weighs nine patches by what they show."""

from collections.abc import Mapping

from cervbench_jigsaw import Config as JigsawConfig
from pydantic import Field

from cervbench.plugin import Offer, hookimpl


class Config(JigsawConfig):
    reduced: int = Field(256, gt=0, description="width to which the nine weighed patches are reduced")


@hookimpl
def cervbench_methods() -> Mapping[str, Offer]:
    return {
        "attentive-patch": Offer(
            Config,
            "cervbench_attentive_patch.method:AttentivePatch",
            "Chae et al., Attentive Transfer Learning via Self-supervised Learning for Cervical Dysplasia "
            "Diagnosis, J. Inf. Process. Syst. 2021",
            builds_on=("cervbench-jigsaw:jigsaw",),
        )
    }
