"""What a comparison found, and what of it was to be shown."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydantic import Field

from cervbench.bench.measurement import Closed, Measurement

OURS, CEILING = "cervbench", "cervbench, ceiling"


class Contestant(Closed):
    name: str
    """Begins with the name of its library."""
    views_per_second: float = Field(gt=0)
    ours_over_it: float
    """The median over rounds of our rate over its rate of the same round."""


class PeerComparison(Measurement):
    """One run of all contestants on one device."""

    dataset: str
    stored: int
    size: int
    batch: int
    rounds: int
    steps: int
    augmentations: dict[str, str]
    views: list[Contestant]
    """Making views alone."""
    training: list[Contestant]
    """End to end, and the ceiling."""
    tried: dict[str, float]
    """Views a second of lightly's recipe in each of its settings, one turn each; the best was taken."""

    @property
    def key(self) -> tuple[str | int, ...]:
        return self.where.device, self.size, self.batch


class Claim(NamedTuple):
    """What was to be shown on two processor cores with Herlev, at 64 px."""

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
    """Against the fastest of those whose name begins so."""
    return min(one.ours_over_it for one in contestants if one.name.startswith(name))
