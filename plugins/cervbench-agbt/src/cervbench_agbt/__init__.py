"""Attention-guided Barlow Twins: two views share the weights of their features."""

from collections.abc import Mapping
from typing import Literal

import cervbench_barlow_twins
from pydantic import Field

from cervbench.plugin import Offer, hookimpl


class Config(cervbench_barlow_twins.Config):
    target: Literal["embedding", "projection"] = Field("embedding", description="what the attention weighs")
    detach: bool = Field(False, description="the attention sends no gradient into what it is computed from")
    epsilon: float = Field(1e-6, gt=0, description="under the root of the shared attention")


@hookimpl
def cervbench_methods() -> Mapping[str, Offer]:
    return {
        "agbt": Offer(
            Config,
            "cervbench_agbt.method:AGBT",
            "Attention-guided Barlow Twins, as proposed in "
            "“Self-Supervised Learning (SSL) for Cervical Cancer Classification”",
            builds_on=("cervbench-barlow-twins:barlow-twins",),
        )
    }
