"""Sets of images as evaluations and stages see them, and the batches that a stage is fed.

A batch depends only on the number of its step and not on the steps before, so a run that is resumed at any
step sees what it would have seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from cervbench.data.views import Normalise, Pyramid, View
from cervbench.data.views.transfer import on_device
from cervbench.protocol.randomness import generator


@dataclass(frozen=True)
class Images:
    """Images without their labels and groups, under opaque ids."""

    ids: tuple[str, ...]
    """Opaque ones, since a dataset's own ids often hold the class."""
    native_size: np.ndarray
    """Width and height in pixels: images × 2."""
    rows: np.ndarray
    """Where they are in the pyramid. These numbers say as little of the class as the ids do."""
    pyramid: Pyramid

    def __len__(self) -> int:
        return len(self.rows)

    def subset(self, chosen: np.ndarray) -> "Images":
        return Images(
            tuple(self.ids[i] for i in chosen), self.native_size[chosen], self.rows[chosen], self.pyramid
        )

    def in_order_of_ids(self) -> "Images":
        """The same images sorted by opaque id, which says nothing of the class; the pack's order may."""
        return self.subset(np.argsort(self.ids))

    def isolated(self) -> "Images":
        """The same images, with a pyramid that holds no others."""
        order = np.argsort(self.ids)
        return Images(self.ids, self.native_size, np.argsort(order), self.pyramid.of(self.rows[order]))

    def batches(self, normalise: Normalise, size: int = 256) -> Iterator[tuple[Tensor, Tensor]]:
        """The unchanged images in order, with their native sizes, in batches of nearly equal size."""
        pieces = np.array_split(np.arange(len(self)), -(-len(self) // size))
        for chosen, following in zip(pieces, [*pieces[1:], pieces[0][:0]], strict=True):
            pixels = self.pyramid.whole(torch.from_numpy(self.rows[chosen]), normalise)
            self.pyramid.expect(self.rows[following])
            yield pixels, on_device(self.native_size[chosen], pixels.device).float()


@dataclass(frozen=True)
class Examples:
    """Images with their labels, as indices into the classes."""

    images: Images
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Labelled:
    """All labels that may be seen, in one draw at one ratio."""

    classes: tuple[str, ...]
    ratio: int
    draw: int
    train: Examples
    val: Examples
    """Empty at ratios so small that no val label may be seen."""
    unlabelled: Images
    """Every image of train, without labels."""


@dataclass(frozen=True)
class Batch:
    """What one step of a stage sees."""

    views: Sequence[Tensor]
    labels: Tensor | None = None

    def tensors(self) -> list[Tensor]:
        return [*self.views] if self.labels is None else [*self.views, self.labels]


@dataclass(frozen=True)
class Feed:
    """Batches of views in shuffled epochs; no image is twice in a batch, and a small set is one batch."""

    images: Images
    views: Sequence[View]
    normalise: Normalise
    batch_size: int
    purpose: tuple[object, ...]
    """Seed, fold and stage, which together with the step decide every draw."""
    labels: np.ndarray | None = None

    @property
    def per_step(self) -> int:
        return min(self.batch_size, len(self.images))

    @cached_property
    def steps_per_epoch(self) -> int:
        return len(self.images) // self.per_step

    def steps(self, epochs: int) -> int:
        """As many as show each image `epochs` times on average; an epoch leaves out what fills no batch."""
        return max(1, round(epochs * len(self.images) / self.per_step))

    def batch(self, step: int) -> Batch:
        chosen = self._chosen(step)
        rows = torch.from_numpy(self.images.rows[chosen])
        views = []
        for number, view in enumerate(self.views):
            drawn = view.draw(generator(*self.purpose, "view", number, step), len(chosen))
            views.append(view.apply(self.images.pyramid, rows, drawn, self.normalise))
        self.images.pyramid.expect(self.images.rows[self._chosen(step + 1)])
        labels = None
        if self.labels is not None:
            labels = on_device(self.labels[chosen], views[0].device)
        return Batch(views, labels)

    def _chosen(self, step: int) -> np.ndarray:
        """The indices of the images in the batch of a step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        shuffled = _order(self.purpose, epoch, len(self.images))
        return shuffled[place * self.per_step : (place + 1) * self.per_step]


@lru_cache(maxsize=2)
def _order(purpose: tuple[object, ...], epoch: int, images: int) -> np.ndarray:
    """The order of an epoch. Two are kept, because the last step of an epoch looks into the next one."""
    return generator(*purpose, "epoch", epoch).permutation(images)
