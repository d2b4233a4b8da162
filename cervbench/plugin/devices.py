"""Helpers that keep a loss the same on one device or several, in bf16 or float32."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor, distributed
from torch.utils._pytree import tree_leaves, tree_map

Function = TypeVar("Function", bound=Callable[..., Any])


class Devices(Protocol):
    """The devices that a batch is spread over, with equally many rows on each, as seen from one of them."""

    @property
    def rank(self) -> int: ...

    @property
    def count(self) -> int: ...

    def gather(self, rows: Tensor) -> Tensor: ...


def gather(rows: Tensor) -> Tensor:
    """The rows of all devices, in the order of their ranks; on a single device, the rows as they are.

    Gradients flow back to each device, so a loss over the gathered rows is the loss of the whole batch.
    """
    devices = _devices()
    return rows if devices is None else devices.gather(rows)


def own_rows(draw: Callable[[int], Tensor], count: int) -> Tensor:
    """This device's `count` rows of `draw(n)`, n being their number in the whole batch; on one device, all.

    Torch is seeded alike on all devices: if each drew for its own rows only, all would draw the same.
    """
    devices = _devices()
    if devices is None:
        return draw(count)
    first = devices.rank * count
    return draw(devices.count * count)[first : first + count]


class _Distributed:
    """The devices of torch's default process group."""

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
    """Within this context a batch counts as spread over these devices: how checks follow several on one."""
    global _pretended
    before, _pretended = _pretended, devices
    try:
        yield
    finally:
        _pretended = before


def _devices() -> Devices | None:
    """The devices of a batch; None if there is only one."""
    if _pretended is None and distributed.is_available() and distributed.is_initialized():
        return _Distributed()
    return _pretended


def in_float32(function: Function) -> Function:
    """The function, computed in float32: tensors among its arguments, in lists and dicts too, are widened.

    For what bf16 with its three digits is too coarse for, such as products of vectors that are nearly equal.
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
