"""The peak of memory since it was last begun anew: so that it is of the work that it is said of."""

import re
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


def reset_peak_memory(device: "torch.device") -> None:
    """Start the peak anew: the device's, and where Linux allows it this process's, which counts on a CPU."""
    import torch

    from cervbench.training.device import hand_back_freed_memory

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    hand_back_freed_memory()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "ascii")


def peak_memory(device: "torch.device") -> int:
    """The peak in bytes: the device's where it has memory of its own, otherwise the process's."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # The second is not as good: a process inherits the peak of the one that started it.
    unit = 1 if sys.platform == "darwin" else 1024
    return resident_peak() or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident_peak(process: int | Literal["self"] = "self") -> int:
    """The most memory of a process that was resident so far, in bytes; 0 where the system does not say."""
    with suppress(OSError):
        status = Path(f"/proc/{process}/status").read_text("ascii", "replace")
        if told := re.search(r"VmHWM:\s*(\d+) kB", status):
            return int(told[1]) * 1024
    return 0
