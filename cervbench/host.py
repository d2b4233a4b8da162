"""What a record says of the host that made it: device, versions, commit. None of it can be verified later."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
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
    """The device and software in use; `packages` are the plugins involved, with their versions."""
    import torch

    from cervbench.training.precision import precision

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "device": f"{device.type}: {name}",
        # Processors of the same name may differ in these, and then in the last bits of every sum.
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "precision": precision(device),
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            **{package: found for package in PACKAGES if (found := _version(package))},
            **packages,
        },
        "commit": _commit(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    return f"{_processor_name() or platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def _processor_name() -> str:
    """As Linux or macOS tells it; empty where they do not."""
    with suppress(OSError, subprocess.CalledProcessError):
        if sys.platform == "darwin":
            asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        with Path("/proc/cpuinfo").open(encoding="utf-8") as info:
            names = (line.partition(":")[2].strip() for line in info if line.startswith("model name"))
            return next(names, "")
    return ""


@cache
def _commit() -> str | None:
    """The commit of the checkout that cervbench runs from, followed by `+` if files differ from it."""
    here = Path(__file__)

    def git(*asked: str) -> str:
        done = subprocess.run(["git", *asked], cwd=here.parent, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        # A virtual environment may lie inside the checkout of another project.
        git("ls-files", "--error-unmatch", here.name)
        head = git("rev-parse", "--short=12", "HEAD")
        return head + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
