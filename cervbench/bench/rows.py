"""A row of the throughput benchmark, and which are still wanted."""

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
    """Of the method, as they were set."""
    views: int = Field(gt=0)
    """How many an image has in a step."""
    rounds: int
    steps: int
    """A turn."""
    views_per_second: float = Field(gt=0)
    """The median over rounds, as all figures here."""
    ceiling_views_per_second: float = Field(gt=0)
    ratio: float
    """The median of the ratios of the rounds, which is not the ratio of the medians."""
    peak_memory_bytes: int
    seconds_per_step: dict[str, float]
    """By phase, in a pass of its own."""
    flops_per_view: float
    """Backward included."""
    matmul_flops_per_second: float = Field(gt=0)
    matmul_size: int

    @property
    def key(self) -> tuple[str | int, ...]:
        chosen = json.dumps(self.settings, sort_keys=True) if self.settings else ""
        return self.where.device, self.method, self.backbone, self.size, self.batch, self.compiled, chosen

    @property
    def setup(self) -> Setup:
        """What was asked for."""
        return Setup(self.method, self.backbone, self.size, self.batch, self.compiled, self.settings)

    @property
    def share_of_matmul(self) -> float:
        """What the model alone reaches of the device's matmul rate."""
        return self.ceiling_views_per_second * self.flops_per_view / self.matmul_flops_per_second


def missing(rows: Iterable[Row]) -> Sequence[Setup]:
    """The wanted rows that no GPU has given yet."""
    there = {row.setup for row in rows if row.where.device.startswith("cuda")}
    return [setup for setup in WANTED if setup not in there]
