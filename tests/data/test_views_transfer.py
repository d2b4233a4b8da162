"""The way to the device."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from cervbench.data.views.transfer import on_device

CPU = torch.device("cpu")


def test_floating_values_arrive_as_float32_and_whole_ones_as_they_are() -> None:
    for values in (np.array([0.1, 2.5]), torch.tensor([0.1, 2.5], dtype=torch.float64)):
        assert torch.equal(on_device(values, CPU), torch.tensor([0.1, 2.5]))
    for dtype in (np.uint8, np.int64, np.bool_):
        values = np.array([0, 1], dtype=dtype)
        assert on_device(values, CPU).numpy().dtype == dtype


def test_a_compiled_loss_may_draw_on_the_host() -> None:
    """Regression: pinning cannot be traced, so a loss that asked for it could not be compiled for a GPU.

    Without one here, torch's refusal to pin is what has to come through.
    """

    def asked() -> Tensor:
        return on_device(torch.arange(3), torch.device("cuda")) + 1

    def outcome(work: Callable[[], Tensor]) -> object:
        try:
            return work().tolist()
        except (RuntimeError, AssertionError) as refusal:
            return type(refusal)

    assert outcome(torch.compile(asked, backend="eager")) == outcome(asked)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_accelerator_is_not_waited_for() -> None:
    torch.cuda.set_sync_debug_mode("error")
    try:
        arrived = on_device(np.arange(5), torch.device("cuda"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert arrived.tolist() == [0, 1, 2, 3, 4]
