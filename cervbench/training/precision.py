"""bf16 where the hardware multiplies in it, float32 elsewhere; nothing in between."""

from contextlib import AbstractContextManager

import torch


def has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # some builds have no oneDNN
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """For forward passes that are trained; evaluations compute in float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=has_bf16(device))


def precision(device: torch.device) -> str:
    return "bf16" if has_bf16(device) else "fp32"
