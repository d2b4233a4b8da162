"""Choosing where to compute, and making ready for it."""

import ctypes
from contextlib import suppress

import torch

from cervbench.plugin.settings import SettingsError


def use(device: str, threads: int | None) -> torch.device:
    """The device by its name, `auto` being the best there is; host threads are set for the process."""
    if threads is not None:
        torch.set_num_threads(threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = device.partition(":")
    if kind == "cuda" and (not number or number.isdecimal()):
        return _cuda(int(number or 0))
    if device != "cpu":
        raise SettingsError(f"--device {device}: say auto, cpu, cuda or cuda:0")
    _keep_freed_memory()
    return torch.device("cpu")


def _cuda(index: int) -> torch.device:
    """Made current, so that whatever asks CUDA without naming a device asks this one."""
    if not torch.cuda.is_available():
        raise SettingsError(
            "--device cuda: torch finds no CUDA device here; --device cpu works, and auto chooses"
        )
    if index >= (count := torch.cuda.device_count()):
        raise SettingsError(f"--device cuda:{index}: CUDA devices are numbered from 0 to {count - 1} here")
    torch.cuda.set_device(index)
    # What is said to be float32 is: convolutions would otherwise be rounded to 10 bits.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda", index)


def _keep_freed_memory() -> None:
    """Freed tensors stay with the process, for every step asks for the same sizes again.

    glibc otherwise hands large ones back at once, and a step spends up to a tenth of its time on fresh pages.
    """
    trim_threshold, mmap_max = -1, -4
    _tell_allocator("mallopt", mmap_max, 0)
    _tell_allocator("mallopt", trim_threshold, 2**31 - 1)


def hand_back_freed_memory() -> None:
    """What earlier work has freed and the process kept, so that it does not count as that of the next."""
    _tell_allocator("malloc_trim", 0)


def _tell_allocator(function: str, *arguments: int) -> None:
    """Call a function of glibc's allocator; another C library has its own ways, and is left alone."""
    with suppress(OSError, AttributeError):
        getattr(ctypes.CDLL(None), function)(*arguments)
