"""The device that is measured: what it is."""

import torch

from cervbench.bench.measurement import Where
from cervbench.host import observe_host


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
