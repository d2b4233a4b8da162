"""What torch is told while work is done on a device, and that the caller finds it as it was."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from operator import attrgetter
from typing import Any

import pytest
import torch

from cervbench.place import PlaceError
from cervbench.training.device import named_device, working_on

CPU = torch.device("cpu")
BACKENDS: Any = torch.backends


def seen() -> dict[str, Any]:
    """What code sees that is run now."""
    weight = torch.ones(2, 2, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        cast = (torch.eye(2) @ weight).sum().item()
        with torch.no_grad():
            weight.mul_(3)
    with torch.autocast("cpu", torch.bfloat16):
        cast_again = (torch.eye(2) @ weight).sum().item()
    made = torch.ones(2, 2) @ torch.ones(2, 2)
    return {
        "gradients": torch.is_grad_enabled(),
        "inference": made.is_inference(),
        "type": made.dtype,
        "device": made.device.type,
        "threads": torch.get_num_threads(),
        "float32": set(precisions()),
        "weights are cast anew": cast != cast_again,
    }


def precisions() -> list[Any]:
    """In what torch computes float32, on a GPU and on a processor."""
    if not hasattr(BACKENDS, "fp32_precision"):
        return [torch.get_float32_matmul_precision(), BACKENDS.cudnn.allow_tf32]
    parts = (BACKENDS.cuda.matmul, BACKENDS.cudnn.conv, BACKENDS.mkldnn.matmul, BACKENDS.mkldnn.conv)
    return [part.fp32_precision for part in parts]


@contextmanager
def told(tell: Callable[[Any], object], value: Any, before: Any) -> Iterator[None]:
    tell(value)
    try:
        yield
    finally:
        tell(before)


def allow_tf32(flag: Any) -> AbstractContextManager[None]:
    return told(lambda allowed: setattr(flag, "allow_tf32", allowed), True, flag.allow_tf32)


def in_precision(name: str, precision: str) -> AbstractContextManager[None]:
    """Regression: told so, torch refuses to say how its older flags stand, and a run ended there."""
    part = attrgetter(name)(BACKENDS) if name else BACKENDS
    return told(lambda value: setattr(part, "fp32_precision", value), precision, part.fp32_precision)


AMBIENT: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast that keeps no casts": lambda: torch.autocast("cpu", torch.bfloat16, cache_enabled=False),
    "another type": lambda: told(torch.set_default_dtype, torch.float64, torch.float32),
    "another device": lambda: torch.device("meta"),
    "products of ten bits": lambda: allow_tf32(BACKENDS.cuda.matmul),
    "convolutions of ten bits": lambda: allow_tf32(BACKENDS.cudnn),
    "products of few bits anywhere": lambda: told(torch.set_float32_matmul_precision, "medium", "highest"),
    **{
        f"{name} in {precision}": partial(in_precision, name, precision)
        for name, precision in (("", "tf32"), ("cudnn.conv", "tf32"), ("mkldnn.matmul", "bf16"))
        if hasattr(BACKENDS, "fp32_precision")
    },
    "more threads": lambda: told(torch.set_num_threads, 3, torch.get_num_threads()),
}


@pytest.mark.parametrize("ambient", AMBIENT.values(), ids=AMBIENT)
def test_work_is_done_as_if_its_caller_had_told_torch_nothing(
    ambient: Callable[[], AbstractContextManager[Any]],
) -> None:
    with working_on(CPU, threads=1):
        alone = seen()
    assert alone == {
        "gradients": True,
        "inference": False,
        "type": torch.float32,
        "device": "cpu",
        "threads": 1,
        "float32": {"ieee"} if hasattr(BACKENDS, "fp32_precision") else {"highest", False},
        "weights are cast anew": True,
    }
    with ambient(), working_on(CPU, threads=1):
        assert seen() == alone


def of_the_caller() -> list[Any]:
    return [
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.is_autocast_cache_enabled(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.get_num_threads(),
        precisions(),
        torch.get_rng_state().tolist(),
    ]


@pytest.mark.parametrize("ambient", AMBIENT.values(), ids=AMBIENT)
def test_the_caller_finds_torch_as_it_was_also_after_an_error(
    ambient: Callable[[], AbstractContextManager[Any]],
) -> None:
    with ambient():
        before = of_the_caller()
        with pytest.raises(KeyError), working_on(CPU, threads=1):  # noqa: PT012
            torch.manual_seed(20)
            raise KeyError
        assert of_the_caller() == before


def test_a_cuda_device_is_named_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [named_device(name).index for name in ("auto", "cuda", "cuda:1")] == [0, 0, 1]
    assert named_device("cpu") == CPU
    with pytest.raises(PlaceError, match="device is 'cuda:2', and CUDA devices are numbered from 0 to 1"):
        named_device("cuda:2")


def test_a_cuda_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert named_device("auto") == CPU
    with pytest.raises(PlaceError, match="device is 'cuda:1', and torch finds no CUDA device here"):
        named_device("cuda:1")
