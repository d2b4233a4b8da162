"""What is timed: a method that is about to be pretrained, made as a run makes it, in the training loop."""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import torch

from cervbench.bench.setups import Setup
from cervbench.bench.timing import seconds
from cervbench.data.batches import Batch, Feed
from cervbench.data.dataset import open_dataset
from cervbench.data.parts import Parts
from cervbench.place import Place
from cervbench.plugin.manager import Plugins
from cervbench.plugin.settings import SettingsError
from cervbench.resolve import Resolved, resolve
from cervbench.study import Request
from cervbench.training.checkpoint import State
from cervbench.training.loop import Sitting, begin, train
from cervbench.training.pretrain import build_method, pretext_stage
from cervbench.training.stage import Stage

STEPS = 100_000
"""How many steps the stage is told to have, so that it logs as rarely as a long one."""

EPOCHS_OF_VIEWS, MOST_STEPS_OF_VIEWS = 6, 60
"""For how many epochs, and how many steps at most, views are made before any clock starts. An image is
resized when one of its sizes is first asked for, which in a stage mostly happens in the first epoch."""


class ConstantFeed(Feed):
    """The same batch at every step, already on the device: the rate of training on it is the ceiling."""

    @cached_property
    def _only(self) -> Batch:
        return super().batch(0)

    def batch(self, step: int) -> Batch:
        return self._only


def fields_of(feed: Feed) -> dict[str, Any]:
    """The fields of a feed, from which another kind of feed can be made."""
    return {field.name: getattr(feed, field.name) for field in fields(feed)}


@dataclass
class Workload:
    """A pretext stage with its optimiser; every turn trains it further."""

    variant: str
    """The variant of the dataset that it is fed from."""
    stage: Stage
    feed: Feed
    device: torch.device
    state: State

    @property
    def views_per_step(self) -> int:
        return self.feed.per_step * len(self.feed.views)

    @cached_property
    def ceiling(self) -> ConstantFeed:
        return ConstantFeed(**fields_of(self.feed))

    def train(self, feed: Feed, steps: int) -> None:
        train(self.stage, self.state, feed, STEPS, Sitting(), until=self.state.step + steps)

    def rate(self, feed: Feed, steps: int) -> float:
        """Views per second."""
        return steps * self.views_per_step / seconds(lambda: self.train(feed, steps), self.device)


@dataclass(frozen=True)
class Bench:
    """Where workloads are made."""

    dataset: str
    place: Place
    plugins: Plugins
    device: torch.device

    def workload(self, setup: Setup) -> Workload:
        """On the train images of fold 0, without their labels."""
        resolved = self.resolved(setup)
        dataset = open_dataset(resolved.card, self.place.data_root, self.place.cache, resolved.protocol)
        recipe = resolved.recipe(fold=0)
        images = Parts.of(dataset, recipe.fold, resolved.protocol, self.device).train
        stage, feed = pretext_stage(build_method(recipe).to(self.device), recipe, images)
        for step in range(min(EPOCHS_OF_VIEWS * feed.steps_per_epoch, MOST_STEPS_OF_VIEWS)):
            feed.batch(step)
        return Workload(dataset.variant, stage, feed, self.device, begin(stage, Sitting()))

    def resolved(self, setup: Setup) -> Resolved:
        """What the setup asks for, with every name looked up; refused before anything is timed."""
        settings = {
            **setup.settings,
            "protocol.image_size": setup.size,
            "protocol.pretext.batch_size": setup.batch,
            "protocol.pretext.compile": setup.compiled,
        }
        request = Request(setup.method, self.dataset, backbone=setup.backbone, settings=settings)
        resolved = resolve(request, self.plugins)
        if not resolved.method.offer.pretrains:
            raise SettingsError(f"{setup.method} has no pretext stage whose speed could be measured")
        return resolved
