"""What a GPU would meet on its way through a step, followed without one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from cervbench.checks.pretended_gpu import GPU, PretendedGPU
from cervbench.checks.small_backbones import cnn
from cervbench.data.batches import Batch, Feed, Images
from cervbench.data.views import Pyramid, named_policy, noise
from cervbench.data.views.normalise import UNIT
from cervbench.evaluations.finetune import FineTuning
from cervbench.training.encoder import Encoder
from cervbench.training.loop import TIMES_LOGGED, Sitting, begin, train
from cervbench.training.trained import LinearOnEncoder

COUNT, STORED, SIZE, CLASSES = 16, 48, 32, 4
LABELS = np.arange(COUNT) % CLASSES

needs_a_pretence = pytest.mark.skipif(not PretendedGPU.possible(), reason="this torch cannot pretend a GPU")


class Pretended(Pyramid):
    """Images of which nothing is known but their shape."""

    def level(self, k: int, rows: Tensor) -> Tensor:
        side = self.sides[k]
        return torch.empty((len(rows), 3, side, side), dtype=torch.uint8, device=GPU)

    def content(self, rows: Tensor) -> np.ndarray:
        return np.tile((0.0, 0.0, 1.0, 1.0), (len(rows), 1))


def images(kind: type[Pyramid], device: torch.device) -> Images:
    stored = np.random.default_rng(0).integers(0, 256, (COUNT, STORED, STORED, 3), dtype=np.uint8)
    names, native = tuple(map(str, range(COUNT))), np.full((COUNT, 2), STORED)
    return Images(names, native, np.arange(COUNT), kind(stored, SIZE, device))


@needs_a_pretence
@pytest.mark.parametrize("policy", ["simclr", "A", "B", "C", "D", "E"])
def test_views_are_made_on_the_device_of_the_pixels(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is kept for a device must not be kept from one that is pretended.
    monkeypatch.setattr(noise, "_quantiles", noise._quantiles.__wrapped__)
    with PretendedGPU().inside():
        feed = Feed(images(Pretended, GPU), [named_policy(policy)], UNIT, COUNT, ("views", policy))
        [views] = feed.batch(0).views
        assert (views.device, views.shape) == (GPU, (COUNT, 3, SIZE, SIZE))


def fine_tuning() -> FineTuning:
    encoder = Encoder(cnn(SIZE, pretrained=False), UNIT)
    return FineTuning(LinearOnEncoder(encoder, CLASSES), LABELS, CLASSES, 1e-3, 1e-4)


@needs_a_pretence
def test_fine_tuning_keeps_to_the_device_of_its_batch() -> None:
    stage, gpu = fine_tuning(), PretendedGPU()
    batch = Batch([gpu.tensor(torch.rand(COUNT, 3, SIZE, SIZE))], gpu.tensor(torch.from_numpy(LABELS)))
    gpu.move(stage)
    with gpu.inside():
        loss, _ = stage(batch)
        assert loss.device == GPU


class Looks(TorchDispatchMode):
    """Counts what waits for a device: values fetched, and shapes that depend on values."""

    count = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        waiting = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "bincount")
        by_mask = func.overloadpacket.__name__ in ("index", "index_put", "index_put_") and any(
            chosen is not None and chosen.dtype in (torch.bool, torch.uint8) for chosen in args[1]
        )
        self.count += by_mask or func.overloadpacket.__name__ in waiting
        return func(*args, **kwargs or {})


def looks(until: int) -> int:
    """In so many steps, of a stage so long that it logs none of them."""
    stage, sitting = fine_tuning(), Sitting()
    feed = Feed(images(Pyramid, torch.device("cpu")), stage.views(), UNIT, 8, ("looks",), LABELS)
    with Looks() as seen:
        train(stage, begin(stage, sitting), feed, TIMES_LOGGED * 100, sitting, until=until)
    return seen.count


def test_what_waits_for_a_device_is_counted() -> None:
    rows = torch.arange(6.0)
    with Looks() as seen:
        float(rows.sum())
        rows[rows > 2]
        rows.nonzero()
        rows[torch.tensor([1, 2])]
    assert seen.count == 3


def test_a_step_waits_for_nothing() -> None:
    """The loop looks at its losses where it logs and at the end, however many steps lie between."""
    assert looks(until=2) == looks(until=8)
