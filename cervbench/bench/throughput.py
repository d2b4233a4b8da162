"""Throughput: views per second end to end and at the ceiling, round by round."""

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from statistics import median

import torch

from cervbench.bench.flops import MatmulRate, flops_of_step, matmul_rate
from cervbench.bench.measurement import Where
from cervbench.bench.phases import phases
from cervbench.bench.rows import Row
from cervbench.bench.setups import Setup
from cervbench.bench.timing import alternate, median_ratio, seconds
from cervbench.bench.workload import Bench, Workload
from cervbench.plugin.settings import SettingsError
from cervbench.training.memory import peak_memory, reset_peak_memory

WARM_UP = 3.0
"""How many seconds the warm-up takes at least, without the first step, in which kernels are compiled."""
TURN = {"cpu": 1.5, "cuda": 6.0}
"""About how many seconds a turn lasts if the number of steps is not given. The first batch of a turn is made
while nothing trains; on a GPU that takes some 10 ms, which would cost a short turn a point of its share."""
LEAST_STEPS = 5
"""The least number of steps in a turn."""


def throughput(bench: Bench, setups: Sequence[Setup], rounds: int, steps: int | None = None) -> Iterator[Row]:
    """A row for each setup. One of several that is refused, or too large, is left out with a warning."""
    for setup in setups:
        bench.resolved(setup)
    matmul = matmul_rate(bench.device)
    for setup in setups:
        try:
            row = measured(bench, setup, matmul, rounds, steps)
        except (SettingsError, torch.OutOfMemoryError) as reason:
            if len(setups) == 1:
                raise
            logging.getLogger("cervbench").warning("%s is left out: %s", setup, reason)
        else:
            yield row


def measured(bench: Bench, setup: Setup, matmul: MatmulRate, rounds: int, steps: int | None) -> Row:
    reset_peak_memory(bench.device)
    workload = bench.workload(setup)
    warm = _warmed(workload)
    steps = steps or max(LEAST_STEPS, round(TURN[bench.device.type] / warm))
    rates = alternate(
        {
            "run": partial(workload.rate, workload.feed, steps),
            "ceiling": partial(workload.rate, workload.ceiling, steps),
        },
        rounds,
    )
    peak = peak_memory(bench.device)
    return Row(
        where=Where.of(bench.device),
        dataset=workload.variant,
        method=setup.method,
        backbone=setup.backbone,
        size=setup.size,
        batch=workload.feed.per_step,
        compiled=setup.compiled,
        settings=dict(setup.settings),
        views=len(workload.feed.views),
        rounds=rounds,
        steps=steps,
        views_per_second=round(median(rates["run"]), 3),
        ceiling_views_per_second=round(median(rates["ceiling"]), 3),
        ratio=round(median_ratio(rates["run"], rates["ceiling"]), 4),
        peak_memory_bytes=peak,
        seconds_per_step={name: round(spent, 6) for name, spent in phases(workload, steps).items()},
        flops_per_view=flops_of_step(workload) / workload.views_per_step,
        matmul_flops_per_second=round(matmul.per_second),
        matmul_size=matmul.size,
    )


def _warmed(workload: Workload) -> float:
    """The seconds per step once caches are filled and kernels are chosen, over both feeds."""
    feeds = (workload.feed, workload.ceiling)
    for feed in feeds:
        workload.train(feed, 1)
    spent: list[float] = []
    while not spent or sum(spent) < WARM_UP:
        spent += [seconds(partial(workload.train, feed, 1), workload.device) for feed in feeds]
    return median(spent)
