"""One loss for a batch, wherever its parts lie and however coarsely the device multiplies."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed
from torch.utils._pytree import tree_leaves, tree_map

Function = TypeVar("Function", bound=Callable[..., Any])


def gather(rows: Tensor) -> Tensor:
    """The rows of all devices, in the order of their ranks; on one device, the rows.

    Gradients find their way back, so a loss over what was gathered is the loss of the whole batch.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return rows
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(rows))


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
