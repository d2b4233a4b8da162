"""What varies by nature and stands in a record as testimony: host, versions, memory, commit."""

import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: "torch.device") -> int:
    """Of the device where it is one of its own, otherwise of the process so far."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as info:
            names = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    except OSError:
        names = []
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def _commit() -> str | None:
    """Of the working folder, where it is a checkout; `+` when files differ from it."""
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "")
