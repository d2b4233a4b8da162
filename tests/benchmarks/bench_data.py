"""Views and packs: what stands between images on disk and the model."""

from itertools import count

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from cervbench.bench.workload import Bench, Workload
from cervbench.data.pack import Pack, prepare
from cervbench.data.views import View, named_policy, plain_policy
from cervbench.plugin.manager import plugins
from cervbench.protocol.randomness import generator

POLICIES = {"simclr": named_policy("simclr"), "plain": plain_policy()}


@pytest.mark.parametrize("view", POLICIES.values(), ids=POLICIES)
def bench_views_of_256_images(benchmark: BenchmarkFixture, workload: Workload, view: View) -> None:
    images, normalise, steps = workload.feed.images, workload.feed.normalise, count()
    rows = torch.from_numpy(images.rows[:256])

    def make() -> torch.Tensor:
        drawn = view.draw(generator("bench", next(steps)), len(rows))
        return view.apply(images.pyramid, rows, drawn, normalise)

    make()
    benchmark(make)


def bench_drawing_the_parameters_of_256_views(benchmark: BenchmarkFixture) -> None:
    steps = count()
    benchmark(lambda: POLICIES["simclr"].draw(generator("bench", next(steps)), 256))


def bench_a_batch_of_the_feed(benchmark: BenchmarkFixture, workload: Workload) -> None:
    steps = count()
    workload.feed.batch(0)
    benchmark(lambda: workload.feed.batch(next(steps)))


@pytest.fixture
def pack(bench: Bench) -> Pack:
    return prepare(plugins().datasets.get("synthetic").offer, bench.place.data_root, bench.place.cache, 224)


def bench_opening_a_pack(benchmark: BenchmarkFixture, pack: Pack) -> None:
    benchmark(lambda: Pack.open(pack.folder).pixels.shape)


def bench_reading_all_images_of_a_pack(benchmark: BenchmarkFixture, pack: Pack) -> None:
    benchmark(lambda: [pack.pixels[start : start + 64].max() for start in range(0, len(pack.ids), 64)])
