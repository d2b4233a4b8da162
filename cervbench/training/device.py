"""Choosing the device to compute on, and preparing it."""

import torch

from cervbench.plugin.settings import SettingsError
from cervbench.training.memory import keep_freed_memory


def prepare_device(name: str, threads: int | None) -> torch.device:
    """The device of this name, `auto` standing for the best there is; `threads` is set for the process."""
    if threads is not None:
        torch.set_num_threads(threads)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind == "cuda" and (not number or number.isdecimal()):
        return _cuda(int(number or 0))
    if name != "cpu":
        raise SettingsError(f"--device {name}: say auto, cpu, cuda or cuda:0")
    keep_freed_memory()
    return torch.device("cpu")


def _cuda(index: int) -> torch.device:
    """The CUDA device of this number, made current so that code which names no device uses it too."""
    if not torch.cuda.is_available():
        raise SettingsError(
            "--device cuda: torch finds no CUDA device here; --device cpu works, and auto chooses"
        )
    if index >= (count := torch.cuda.device_count()):
        raise SettingsError(f"--device cuda:{index}: CUDA devices are numbered from 0 to {count - 1} here")
    torch.cuda.set_device(index)
    # What is called float32 has to be float32: TF32 would round the inputs of convolutions to 10 bits.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda", index)
