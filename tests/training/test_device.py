"""What a device is told before anything runs on it."""

from collections.abc import Iterator

import pytest
import torch

from cervbench.training.device import prepare_device

FLAGS = torch.backends.cudnn, torch.backends.cuda.matmul


@pytest.fixture
def rounding() -> Iterator[None]:
    """Allowed, and afterwards whatever it was."""
    before = [flag.allow_tf32 for flag in FLAGS]
    for flag in FLAGS:
        flag.allow_tf32 = True
    try:
        yield
    finally:
        for flag, allowed in zip(FLAGS, before, strict=True):
            flag.allow_tf32 = allowed


@pytest.mark.usefixtures("rounding")
def test_float32_on_a_gpu_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch would round the input of convolutions to ten bits."""
    for name, answer in (("is_available", True), ("device_count", 1), ("set_device", None)):
        monkeypatch.setattr(torch.cuda, name, lambda *_, answer=answer: answer)
    assert prepare_device("cuda", None) == torch.device("cuda", 0)
    assert [flag.allow_tf32 for flag in FLAGS] == [False, False]
