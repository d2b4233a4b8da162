"""Memory: its peak since a given moment, and whether the process keeps what it has freed."""

import ctypes
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


def reset_peak_memory(device: "torch.device") -> None:
    """Start anew the peak of the device, and of this process where Linux allows it: on a CPU that counts."""
    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    _hand_back_freed_memory()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "ascii")


def peak_memory(device: "torch.device") -> int:
    """The peak in bytes: of the device if it has its own memory, otherwise of the process."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resident_peak()


def resident_peak(process: int | Literal["self"] = "self") -> int:
    """The most memory of a process that was resident so far, in bytes; 0 if the system does not tell."""
    with suppress(OSError):
        status = Path(f"/proc/{process}/status").read_text("ascii", "replace")
        if told := re.search(r"VmHWM:\s*(\d+) kB", status):
            return int(told[1]) * 1024
    if process == "self":
        with suppress(ImportError):  # on Windows
            import resource

            # Only where there is no /proc: a process inherits this peak from the one that started it.
            unit = 1 if sys.platform == "darwin" else 1024
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return 0


def keep_freed_memory() -> None:
    """Have the process keep freed tensors, since every step asks for the same sizes again.

    By default glibc hands large ones back at once, and a step spends up to a tenth of its time on new pages.
    """
    trim_threshold, mmap_max = -1, -4
    _call_allocator("mallopt", mmap_max, 0)
    _call_allocator("mallopt", trim_threshold, 2**31 - 1)


def _hand_back_freed_memory() -> None:
    """What earlier work freed and the process kept would otherwise count as memory of the next."""
    _call_allocator("malloc_trim", 0)


def _call_allocator(function: str, *arguments: int) -> None:
    """Call a function of glibc's allocator; other C libraries lack it, and nothing is done there."""
    with suppress(OSError, AttributeError, TypeError):  # the last is Windows, where None names no library
        getattr(ctypes.CDLL(None), function)(*arguments)
