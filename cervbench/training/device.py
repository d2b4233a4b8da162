"""Choosing the device to compute on, and what torch is told while work is done there."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch

from cervbench.place import PlaceError
from cervbench.training.memory import keep_freed_memory
from cervbench.training.precision import outside_autocast


def named_device(name: str) -> torch.device:
    """The device of a place, `auto` standing for the best there is; PlaceError if it is not there."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise PlaceError(f"device is {name!r}, and torch finds no CUDA device here: say cpu, or auto")
    index = int(name.partition(":")[2] or 0)
    if index >= (count := torch.cuda.device_count()):
        raise PlaceError(f"device is {name!r}, and CUDA devices are numbered from 0 to {count - 1} here")
    return torch.device("cuda", index)


@contextmanager
def working_on(device: torch.device, threads: int | None = None) -> Iterator[None]:
    """Around work on a device: torch has the state that is told here, and the caller's again afterwards.

    That is gradients, autocast, the default type and device, the precision of float32, and random numbers.

    `threads` is how many the processor is given; None leaves the caller's number.
    """
    with ExitStack() as given_back:
        if device.type == "cuda":  # made current, so that code which names no device uses it too
            torch.cuda.init()
            given_back.enter_context(torch.cuda.device(device))
        else:
            keep_freed_memory()
        seeded = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
        given_back.enter_context(torch.random.fork_rng(seeded, device_type="cuda"))
        given_back.enter_context(torch.inference_mode(False))
        given_back.enter_context(torch.enable_grad())
        given_back.enter_context(outside_autocast())
        if torch.empty(0).device.type != "cpu":  # older torch does not tell a device that is a context
            given_back.enter_context(torch.device("cpu"))
        for read, tell, ours in _settings(threads):
            if (callers := read()) != ours:
                given_back.callback(tell, callers)
                tell(ours)
        yield


Setting = tuple[Callable[[], Any], Callable[[Any], object], Any]
"""How a setting of torch is read, how it is set, and what it is during work."""


def _settings(threads: int | None) -> Iterator[Setting]:
    yield torch.get_default_dtype, torch.set_default_dtype, torch.float32
    if threads is not None:
        yield torch.get_num_threads, torch.set_num_threads, threads
    # What is called float32 has to be float32: TF32, say, would round what is multiplied to 10 bits.
    backends: Any = torch.backends
    if hasattr(backends, "fp32_precision"):
        gpu, processor = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn), backends.mkldnn
        for part in (*gpu, processor.matmul, processor.conv, processor.rnn):
            yield partial(getattr, part, "fp32_precision"), partial(setattr, part, "fp32_precision"), "ieee"
    else:  # before torch 2.9
        yield torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"
        cudnn = backends.cudnn
        yield partial(getattr, cudnn, "allow_tf32"), partial(setattr, cudnn, "allow_tf32"), False
