"""What a comparison found, and what it was meant to show."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydantic import Field

from cervbench.bench.measurement import Measurement
from cervbench.plugin.settings import Closed

OURS, CEILING = "cervbench", "cervbench, ceiling"


class Contestant(Closed):
    name: str
    """It begins with the name of the library."""
    views_per_second: float = Field(gt=0)
    ours_over_it: float
    """The median over rounds of our rate divided by its rate."""


class PeerComparison(Measurement):
    """One run with all contestants, on one device."""

    dataset: str
    stored: int
    size: int
    batch: int
    rounds: int
    steps: int
    augmentations: dict[str, str]
    views: list[Contestant]
    """Those that make views and nothing else."""
    training: list[Contestant]
    """Those that train end to end, and the ceiling."""
    tried: dict[str, float]
    """Views per second of lightly's recipe in each of its settings, one turn each; the best one competes."""

    @property
    def key(self) -> tuple[str | int, ...]:
        return self.where.device, self.size, self.batch


class Claim(NamedTuple):
    """Something that was to be shown on two CPU cores with Herlev, at 64 px."""

    what: str
    at_least: float
    measured: float


def claims(comparison: PeerComparison) -> Iterator[Claim]:
    training, views = comparison.training, comparison.views
    yield Claim("end to end, of the ceiling", 0.95, _least(training, CEILING))
    yield Claim("end to end, times lightly's recipe as documented", 1.8, _least(training, "lightly, fp32"))
    yield Claim("end to end, times lightly's recipe at its best", 1.8, _least(training, "lightly"))
    yield Claim("views, times kornia", 3.0, _least(views, "kornia"))
    yield Claim("views, times one process of lightly", 6.0, _least(views, "lightly"))


def _least(contestants: Sequence[Contestant], name: str) -> float:
    """Our rate over that of the fastest contestant whose name begins with `name`."""
    return min(one.ours_over_it for one in contestants if one.name.startswith(name))
