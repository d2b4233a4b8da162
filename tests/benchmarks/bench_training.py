"""A step of every method that is installed, and the probe that is fitted to what it learnt."""

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from cervbench.bench.setups import Setup
from cervbench.bench.workload import Bench
from cervbench.evaluations.logistic import fit
from cervbench.plugin.manager import plugins
from cervbench.plugin.settings import SettingsError

METHODS = [name for name, entry in plugins().methods.items() if entry.offer.pretrains]


@pytest.mark.parametrize("method", METHODS)
def bench_a_step(benchmark: BenchmarkFixture, bench: Bench, method: str) -> None:
    try:
        workload = bench.workload(Setup(method, "resnet18", 64, 32))
    except SettingsError:  # it wants tokens
        workload = bench.workload(Setup(method, "vit", 64, 32))
    workload.train(workload.feed, 2)
    benchmark.pedantic(lambda: workload.train(workload.feed, 1), rounds=5)


@pytest.mark.parametrize("labelled", [64, 640])
def bench_probes_of_five_draws_and_seven_strengths(benchmark: BenchmarkFixture, labelled: int) -> None:
    chance = torch.Generator().manual_seed(0)
    y = torch.arange(labelled) % 7
    means = 0.3 * torch.randn(7, 512, generator=chance)
    draws = [torch.randn(labelled, 512, generator=chance) + means[y] for _ in range(5)]
    strengths = (1.0, 3e-1, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3)
    benchmark.pedantic(lambda: fit(draws, [y] * 5, 7, strengths), rounds=3, warmup_rounds=1)
