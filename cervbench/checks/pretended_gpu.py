"""A pretended GPU, whose tensors have a shape and a device but no values.

On any machine a method can be followed there, up to where tensors of two devices meet or a value is asked
for. Only a real GPU can tell whether it computes the right thing.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GPU = torch.device("cuda", 0)


class ValueAsked(Exception):  # noqa: N818
    """The method looked at a value, or let a shape depend on one."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(f"looks at a value on {device}")
        self.device = device


class PretendedGPU:
    """Takes tensors; whatever is computed with them has to be computed `inside`."""

    def __init__(self) -> None:
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        self._moved: dict[int, Any] = {}

    @classmethod
    def possible(cls) -> bool:
        """Older versions of torch built for CUDA need a driver as soon as such a tensor is indexed."""
        try:
            with cls().inside():
                torch.empty(1, device=GPU)[None]
        except RuntimeError:
            return False
        return True

    def tensor(self, real: Tensor) -> Tensor:
        with self._fake:
            moved: Tensor = self._fake.from_tensor(real).to(GPU)
        return moved

    def move(self, module: nn.Module) -> None:
        """Move parameters and buffers in place; a tensor with two names stays a single one."""
        for part in module.modules():
            for name, parameter in list(part.named_parameters(recurse=False)):
                setattr(part, name, self._once(parameter))
            for name, buffer in list(part.named_buffers(recurse=False)):
                setattr(part, name, self._once(buffer))

    @contextmanager
    def inside(self) -> Iterator[None]:
        with warnings.catch_warnings(), self._fake, _Looks(), _WithoutValues():
            warnings.filterwarnings("ignore", "CUDA is not available|User provided device_type of 'cuda'")
            yield

    def _once(self, real: Tensor) -> Any:
        if id(real) not in self._moved:
            moved = self.tensor(real.detach())
            if isinstance(real, nn.Parameter):
                moved = nn.Parameter(moved, real.requires_grad)
            self._moved[id(real)] = (moved, real)  # kept, so that no other tensor gets its id
        return self._moved[id(real)][0]


class _Looks(TorchDispatchMode):
    """Raises an error where an operation would wait for the device, or needs a value."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        devices = {tensor.device.type: tensor.device for tensor in tensors}
        seen_from = devices.get(GPU.type, torch.device("cpu"))
        try:
            made = func(*args, **kwargs)
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            raise ValueAsked(seen_from) from error
        if func is torch.ops.aten._to_copy.default and seen_from == GPU and made.device != GPU:
            raise ValueAsked(GPU)
        return made


class _WithoutValues(TorchFunctionMode):
    """The same for giving values to NumPy or to a text; and it skips pinning, which needs a driver."""

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.numpy, Tensor.__array__):
            if args[0].device == GPU and not kwargs.get("force"):
                raise TypeError(f"can't convert {GPU} device type tensor to numpy: its values are not here")
            raise ValueAsked(args[0].device)
        if func is Tensor.__format__ and args[0].dim() == 0:
            raise ValueAsked(args[0].device)
        if func is Tensor.pin_memory:
            return args[0]
        return func(*args, **kwargs)
