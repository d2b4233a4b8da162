"""A row of the throughput benchmark, and which rows are still wanted."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import Field

from cervbench.bench.measurement import Measurement
from cervbench.bench.setups import WANTED, Setup


class Row(Measurement):
    """One method on one backbone, at one size and batch, on one device."""

    dataset: str
    method: str
    backbone: str
    size: int = Field(gt=0)
    batch: int = Field(gt=0)
    compiled: bool
    settings: dict[str, Any] = Field(default_factory=dict)
    """The settings that were given to the method."""
    views: int = Field(gt=0)
    """How many views of each image are in a step."""
    rounds: int
    steps: int
    """How many steps a turn has."""
    views_per_second: float = Field(gt=0)
    """The median over rounds, like all figures here."""
    ceiling_views_per_second: float = Field(gt=0)
    ratio: float
    """The median of the ratios of the rounds, which is not the ratio of the medians."""
    peak_memory_bytes: int
    seconds_per_step: dict[str, float]
    """For each phase, measured in a separate pass."""
    flops_per_view: float
    """Forward and backward."""
    matmul_flops_per_second: float = Field(gt=0)
    matmul_size: int

    @property
    def key(self) -> tuple[str | int, ...]:
        chosen = json.dumps(self.settings, sort_keys=True) if self.settings else ""
        return self.where.device, self.method, self.backbone, self.size, self.batch, self.compiled, chosen

    @property
    def setup(self) -> Setup:
        """What had been asked for."""
        return Setup(self.method, self.backbone, self.size, self.batch, self.compiled, self.settings)

    @property
    def share_of_matmul(self) -> float:
        """The share of the device's matmul rate that the model alone reaches."""
        return self.ceiling_views_per_second * self.flops_per_view / self.matmul_flops_per_second


def missing(rows: Iterable[Row]) -> Sequence[Setup]:
    """The wanted rows that were not measured on any GPU yet."""
    there = {row.setup for row in rows if row.where.device.startswith("cuda")}
    return [setup for setup in WANTED if setup not in there]
