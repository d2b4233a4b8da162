"""The peak of memory, as records and the page of throughput have it."""

import subprocess
import sys
from pathlib import Path

import pytest

from cervbench.training.device import named_device, working_on
from cervbench.training.memory import peak_memory, reset_peak_memory

MEGABYTE = 10**6

_LARGE_THEN_SMALL = """
import torch
from cervbench.training.device import named_device, working_on
from cervbench.training.memory import peak_memory, reset_peak_memory

device = named_device("cpu")

def peak_of(megabytes):
    reset_peak_memory(device)
    torch.ones(megabytes * 250_000)
    return peak_memory(device)

with working_on(device):
    print(peak_of(300), peak_of(10))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system tells no peak anew")
def test_the_peak_of_memory_is_of_what_was_done_since_and_by_this_process() -> None:
    """Regression: freed memory that the process keeps counted on, and so did what its parent had."""
    ballast = bytearray(b"x") * (1200 * MEGABYTE)
    asked = [sys.executable, "-c", _LARGE_THEN_SMALL]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    large, small = map(int, done.stdout.split())
    assert large - small > 250 * MEGABYTE
    assert large < len(ballast)


def test_a_system_that_tells_nothing_of_memory_can_be_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: nothing ran on Windows, which has no module `resource`, no /proc and no mallopt."""

    def of_no_name(name: None) -> None:
        raise TypeError("argument of type 'NoneType' is not iterable")

    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr("ctypes.CDLL", of_no_name)
    monkeypatch.setattr("cervbench.training.memory.Path", lambda path: Path(f"/nowhere{path}"))
    device = named_device("cpu")
    with working_on(device):
        reset_peak_memory(device)
        assert peak_memory(device) == 0
