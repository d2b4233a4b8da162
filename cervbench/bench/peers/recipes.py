"""Training recipes of other libraries: lightly's documented one, and its model fed from tensors in memory."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from lightly.data import LightlyDataset
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms import SimCLRTransform
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler

from cervbench.bench.timing import seconds
from cervbench.training.precision import has_bf16

WARM_UP = 2
"""How many batches a loader gives before the clock starts, so that workers run and the queue is full."""


class Trainee:
    """Model, loss, optimiser and step of lightly's documented SimCLR, on timm's resnet18."""

    def __init__(self, device: torch.device, bf16: bool) -> None:
        self.device, self.bf16 = device, bf16
        self.format = torch.channels_last if bf16 else torch.contiguous_format
        backbone = timm.create_model("resnet18", num_classes=0)
        head = SimCLRProjectionHead(512, 512, 128)
        self.model = nn.Sequential(backbone, head).to(device).to(memory_format=self.format)
        self.criterion = NTXentLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.06)

    def step(self, one: Tensor, other: Tensor) -> None:
        one, other = (
            view.to(self.device, memory_format=self.format, non_blocking=True) for view in (one, other)
        )
        # Whoever follows that recipe has torch's defaults, and not the exact float32 that our runs ask for.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=True):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                loss = self.criterion(self.model(one), self.model(other))
            loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


def precisions(device: torch.device) -> dict[str, bool]:
    """The precisions to try: by name, whether to compute in bf16."""
    return {"fp32": False} | ({"bf16, channels last": True} if has_bf16(device) else {})


@dataclass
class Loaded:
    """Trains on JPEG files that lightly's dataset, its transform and a loader with workers read."""

    folder: Path
    size: int
    batch: int
    workers: int
    bf16: bool
    device: torch.device

    @cached_property
    def dataset(self) -> Any:
        return LightlyDataset(str(self.folder), transform=SimCLRTransform(input_size=self.size))

    @cached_property
    def trainee(self) -> Trainee:
        return Trainee(self.device, self.bf16)

    def rate(self, steps: int) -> float:
        """Views per second once the loader runs. It is stopped afterwards, or it would slow others' turns."""
        with self._batches(steps) as batches:

            def train(count: int) -> None:
                for _ in range(count):
                    (one, other), _, _ = next(batches)
                    self.trainee.step(one, other)

            train(WARM_UP)
            return steps * self.batch * 2 / seconds(lambda: train(steps), self.device)

    @contextmanager
    def _batches(self, steps: int) -> Iterator[Iterator[Any]]:
        """More batches than are used, because workers that have finished an epoch leave all cores free."""
        spare = 2 * self.workers + 1
        count = self.batch * (WARM_UP + steps + spare)
        sampler = RandomSampler(self.dataset, replacement=True, num_samples=count)
        loader = DataLoader(
            self.dataset,
            self.batch,
            sampler=sampler,
            drop_last=True,
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
        )
        with closing(_each(loader)) as batches:
            yield batches


def _each(loader: DataLoader[Any]) -> Generator[Any, None, None]:
    yield from loader


@dataclass
class OnMemory:
    """Trains on views that are made of stored images in the memory of the device."""

    count: int
    """How many images there are."""
    views: Callable[[Tensor], Tensor]
    """Takes rows of the stored images and makes a view of each."""
    batch: int
    device: torch.device

    @cached_property
    def trainee(self) -> Trainee:
        return Trainee(self.device, has_bf16(self.device))

    def rate(self, steps: int) -> float:
        def train() -> None:
            for _ in range(steps):
                rows = torch.randperm(self.count, device=self.device)[: self.batch]
                self.trainee.step(self.views(rows), self.views(rows))

        return steps * self.batch * 2 / seconds(train, self.device)


class OneProcess:
    """lightly's transform on decoded images, in this process and without workers."""

    def __init__(self, stored: np.ndarray, size: int) -> None:
        self.images = [Image.fromarray(image) for image in stored]
        self.views = SimCLRTransform(input_size=size)

    def __call__(self) -> Tensor:
        """Two views of each image."""
        return torch.stack([view for image in self.images for view in self.views(image)])


def write_files(stored: np.ndarray, folder: Path) -> None:
    """Write images as JPEG files, as a dataset would have them."""
    for number, image in enumerate(stored):
        Image.fromarray(image).save(folder / f"{number:06d}.jpg", quality=95)
