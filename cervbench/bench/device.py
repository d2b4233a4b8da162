"""The device that is measured: what it is, and the memory that was used on it."""

from contextlib import suppress
from pathlib import Path

import torch

from cervbench.bench.measurement import Where
from cervbench.observed import observe_host, reset_peak_memory


def described(device: torch.device, packages: dict[str, str] | None = None) -> Where:
    """Where it is measured, and with what; `packages` are those beside our own."""
    seen = observe_host(device, packages or {})
    host = observe_host(torch.device("cpu"), {})["device"]
    return Where(
        device=seen["device"],
        host=host.removeprefix("cpu: "),
        precision=seen["precision"],
        threads=seen["threads"],
        versions=seen["versions"],
    )


def reset_peak(device: torch.device) -> None:
    """Of the device, and where the system lets us of this process, whose peak counts on a processor."""
    reset_peak_memory(device)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
