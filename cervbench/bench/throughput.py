"""Throughput: views a second end to end beside the ceiling, round by round."""

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from statistics import median

import torch

from cervbench.bench.device import described
from cervbench.bench.flops import MatmulRate, flops_of_step, matmul_rate
from cervbench.bench.phases import phases
from cervbench.bench.rows import Row
from cervbench.bench.setups import Setup
from cervbench.bench.timing import alternate, median_ratio, seconds
from cervbench.bench.workload import Bench, Workload
from cervbench.plugin.settings import SettingsError
from cervbench.training.memory import peak_memory, reset_peak_memory

WARM_UP = 3.0
"""Seconds, at the least; the first step, in which things are compiled and chosen, does not count."""
TURN = {"cpu": 1.5, "cuda": 6.0}
"""Seconds that a turn lasts, about, where the number of steps is not given. In each nothing overlaps with the
making of its first batch: on a GPU some 10 ms, which a short turn would show as a point of the share."""
LEAST_STEPS = 5
"""Of a turn."""


def throughput(bench: Bench, setups: Sequence[Setup], rounds: int, steps: int | None = None) -> Iterator[Row]:
    """A row a setup, as each is measured; of several, what is refused or too large is left out, and said."""
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
        where=described(bench.device),
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
    """Seconds a step once caches are filled and kernels chosen, over both feeds."""
    feeds = (workload.feed, workload.ceiling)
    for feed in feeds:
        workload.train(feed, 1)
    spent: list[float] = []
    while not spent or sum(spent) < WARM_UP:
        spent += [seconds(partial(workload.train, feed, 1), workload.device) for feed in feeds]
    return median(spent)
