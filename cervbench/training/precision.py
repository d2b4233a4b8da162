"""Training computes in bf16 if the hardware multiplies in it, and otherwise in float32."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch


def has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # some builds of torch lack oneDNN
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """For the forward passes of training; evaluations compute in float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=has_bf16(device))


@contextmanager
def outside_autocast() -> Iterator[None]:
    """As if no autocast were around it.

    Within another, even one that is switched off, torch keeps the casts of weights beyond the end of an
    autocast, so that each step of training would compute with the weights of the first.
    """
    kinds = [kind for kind in ("cpu", "cuda") if torch.is_autocast_enabled(kind)]
    keeps_casts = torch.is_autocast_cache_enabled()
    depth = torch.autocast_increment_nesting()  # which is one more than there are
    for _ in range(depth):
        torch.autocast_decrement_nesting()
    for kind in kinds:
        torch.set_autocast_enabled(kind, False)
    torch.set_autocast_cache_enabled(True)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(keeps_casts)
        for kind in kinds:
            torch.set_autocast_enabled(kind, True)
        for _ in range(depth - 1):
            torch.autocast_increment_nesting()


def precision(device: torch.device) -> str:
    return "bf16" if has_bf16(device) else "fp32"
