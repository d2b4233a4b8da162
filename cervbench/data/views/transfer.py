"""The one way from the host to the device that holds the pixels."""

import numpy as np
import torch
from torch import Tensor


@torch.compiler.disable  # pinning cannot be traced; so a loss that draws on the host can still be compiled
def on_device(values: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """The values on the device, floats as float32; the host does not wait for a copy to a GPU."""
    host = torch.as_tensor(values)
    if host.is_floating_point():
        host = host.float()
    if device.type != "cuda":
        return host.to(device)
    return host.pin_memory().to(device, non_blocking=True)
