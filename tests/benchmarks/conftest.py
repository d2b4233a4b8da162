"""What benchmarks share: synthetic setups as a run sees them, whatever images are on this disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cervbench.bench.setups import Setup
from cervbench.bench.workload import Bench, Workload
from cervbench.place import Place
from cervbench.plugin.manager import plugins
from cervbench.training.device import named_device, working_on


@pytest.fixture(scope="session")
def bench(shared_cache: Path) -> Iterator[Bench]:
    device = named_device("cpu")
    with working_on(device):
        yield Bench("synthetic", Place(cache=shared_cache, device="cpu"), plugins(), device)


@pytest.fixture(scope="session")
def workload(bench: Bench) -> Workload:
    """SimCLR on resnet18, as the quick tier trains it."""
    return bench.workload(Setup("simclr", "resnet18", 64, 128))
