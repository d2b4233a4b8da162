"""What varies by nature and stands in a record as testimony: host, versions, memory, commit."""

import os
import platform
import re
import resource
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

PACKAGES = (
    "cervbench",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "scikit-learn",
    "pillow",
    "pyarrow",
)


def observe_host(device: "torch.device", packages: Mapping[str, str]) -> dict[str, Any]:
    """Where this is computed, and with what; `packages` are those of plugins, with their versions."""
    import torch

    from cervbench.training.precision import precision

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "device": f"{device.type}: {name}",
        "precision": precision(device),
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            **{package: found for package in PACKAGES if (found := _version(package))},
            **packages,
        },
        "commit": _commit(),
    }


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


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """Its name, cores, and the instructions that torch takes: with others the sums have other last bits."""
    import torch

    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as info:
            names = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    except OSError:
        names = []
    name, instructions = names[0] if names else platform.machine(), torch.backends.cpu.get_cpu_capability()
    return f"{name}, {os.cpu_count()} cores, {instructions}"


@cache
def _commit() -> str | None:
    """The commit of the checkout that cervbench runs from, with `+` when files differ from it."""
    here = Path(__file__)

    def git(*asked: str) -> str:
        done = subprocess.run(["git", *asked], cwd=here.parent, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        # An environment may lie in a checkout of something else.
        git("ls-files", "--error-unmatch", here.name)
        head = git("rev-parse", "--short=12", "HEAD")
        return head + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
