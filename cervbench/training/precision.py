"""Training computes in bf16 if the hardware multiplies in it, and otherwise in float32."""

from contextlib import AbstractContextManager

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


def precision(device: torch.device) -> str:
    return "bf16" if has_bf16(device) else "fp32"
