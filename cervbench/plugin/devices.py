"""One loss for a batch, wherever its parts lie and however coarsely the device multiplies."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor, distributed
from torch.utils._pytree import tree_leaves, tree_map

Function = TypeVar("Function", bound=Callable[..., Any])


class Devices(Protocol):
    """Those that a batch lies on, as many rows on each, as one of them sees them."""

    @property
    def rank(self) -> int: ...

    @property
    def count(self) -> int: ...

    def gather(self, rows: Tensor) -> Tensor: ...


def gather(rows: Tensor) -> Tensor:
    """The rows of all devices, in the order of their ranks; on one device, the rows.

    Gradients find their way back, so a loss over what was gathered is the loss of the whole batch.
    """
    devices = _devices()
    return rows if devices is None else devices.gather(rows)


def own_rows(draw: Callable[[int], Tensor], count: int) -> Tensor:
    """This device's `count` rows of what `draw(n)` gives for the n rows of a whole batch; on one device, all.

    Torch is seeded alike on all devices, so what each drew for its own rows would be drawn alike.
    """
    devices = _devices()
    if devices is None:
        return draw(count)
    first = devices.rank * count
    return draw(devices.count * count)[first : first + count]


class _Distributed:
    """Those of torch's default process group."""

    @property
    def rank(self) -> int:
        return distributed.get_rank()

    @property
    def count(self) -> int:
        return distributed.get_world_size()

    def gather(self, rows: Tensor) -> Tensor:
        from torch.distributed.nn.functional import all_gather

        return torch.cat(all_gather(rows))


_pretended: Devices | None = None


@contextmanager
def pretended(devices: Devices) -> Iterator[None]:
    """Within, a batch lies on these."""
    global _pretended
    before, _pretended = _pretended, devices
    try:
        yield
    finally:
        _pretended = before


def _devices() -> Devices | None:
    """None where there is one alone."""
    if _pretended is None and distributed.is_available() and distributed.is_initialized():
        return _Distributed()
    return _pretended


def in_float32(function: Function) -> Function:
    """The function with all tensors among its arguments, in lists and dicts too, in float32, and computed so.

    For what bf16 is too coarse for, with its three digits: a product of vectors that are nearly alike.
    """

    @wraps(function)
    def computed(*arguments: Any, **named: Any) -> Any:
        tensors = [value for value in tree_leaves((arguments, named)) if isinstance(value, Tensor)]
        if not tensors:
            raise TypeError(f"{function.__name__} is in_float32, and none of its arguments is a tensor")
        with torch.autocast(tensors[0].device.type, enabled=False):
            wide, wide_named = tree_map(_widened, (arguments, named))
            return function(*wide, **wide_named)

    return cast(Function, computed)


def _widened(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
