"""Where the time of a step goes, measured with a clock inside the training loop.

The clock is read only after waiting for the device, which keeps host and device from overlapping. So phases
are measured in a separate pass, and together they may take longer than a step at full speed.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from cervbench.bench.timing import synchronise
from cervbench.bench.workload import Workload, fields_of
from cervbench.data.batches import Batch, Feed
from cervbench.data.views import View
from cervbench.plugin.method import Progress
from cervbench.training.stage import Stage

PHASES = ("views", "forward", "backward", "optimiser", "rest")
"""`forward` includes the loss, and `backward` the clipping of gradients. The rest is the loop and what the
method does itself, such as a moving average."""


@dataclass
class _Laps:
    device: torch.device
    spent: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    last: float = 0.0

    def begin(self) -> None:
        synchronise(self.device)
        self.last = time.perf_counter()

    def end(self, phase: str) -> None:
        """The time since the last lap belongs to this phase."""
        synchronise(self.device)
        now = time.perf_counter()
        self.spent[phase] += now - self.last
        self.last = now


@dataclass(frozen=True)
class _TimedFeed(Feed):
    laps: _Laps | None = None

    def batch(self, step: int) -> Batch:
        assert self.laps is not None
        self.laps.end("rest")
        batch = super().batch(step)
        self.laps.end("views")
        return batch


class _TimedStage(Stage):
    """Reads the clock around the stage and not inside it, where it would be compiled with it."""

    def __init__(self, inner: Stage, laps: _Laps) -> None:
        super().__init__()
        self.inner, self.laps = inner, laps

    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        self.laps.end("rest")
        loss: tuple[Tensor, Mapping[str, Tensor]] = self.inner(batch)
        self.laps.end("forward")
        return loss

    def views(self) -> Sequence[View]:
        return self.inner.views()

    def after_step(self, progress: Progress) -> None:
        self.inner.after_step(progress)


def phases(workload: Workload, steps: int) -> dict[str, float]:
    """How many seconds a step spends in each phase."""
    laps = _Laps(workload.device)
    timed = replace(workload, stage=_TimedStage(workload.stage, laps))
    feed = _TimedFeed(**fields_of(workload.feed), laps=laps)
    optimizer = workload.state.optimizer
    hooks = [
        optimizer.register_step_pre_hook(lambda *_: laps.end("backward")),
        optimizer.register_step_post_hook(lambda *_: laps.end("optimiser")),
    ]
    try:
        laps.begin()
        for _ in range(steps):  # one at a time, so that no batch is made while another step trains
            timed.train(feed, 1)
        laps.end("rest")
    finally:
        for hook in hooks:
            hook.remove()
    return {phase: spent / steps for phase, spent in laps.spent.items()}
