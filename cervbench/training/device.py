"""Choosing where to compute."""

import torch

from cervbench.plugin.settings import SettingsError


def use(device: str, threads: int | None) -> torch.device:
    """The device by its name, `auto` being the best there is; host threads are set for the process."""
    if threads is not None:
        torch.set_num_threads(threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise SettingsError(
            "--device cuda: torch finds no CUDA device here; --device cpu works, and auto chooses"
        )
    try:
        return torch.device(device)
    except RuntimeError:
        raise SettingsError(f"--device {device}: say auto, cpu, cuda or cuda:0") from None
