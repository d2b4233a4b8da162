"""What is to be done: every run that is asked for, understood before the first of them begins."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cervbench.data.dataset import Dataset, open_dataset
from cervbench.due import Due, due
from cervbench.place import Place
from cervbench.plugin.manager import Plugins
from cervbench.records.record import Run
from cervbench.runs import Understood, recipe_of, runs, understand, warn_of_untrained_classes
from cervbench.study import Request
from cervbench.training.recipe import Recipe
from cervbench.watching import WatchStages


@dataclass(frozen=True)
class Planned:
    """A run, with what it was asked by and what it is of."""

    asked: Understood
    dataset: Dataset
    run: Run

    @property
    def recipe(self) -> Recipe:
        return recipe_of(self.asked, self.run)

    @property
    def due(self) -> list[Due]:
        """The records asked of it."""
        return due(self.asked, self.run)


def plan(
    requests: Sequence[Request], place: Place, progress: WatchStages, found: Plugins
) -> Iterator[Planned]:
    """The runs that requests ask for, in order; all requests are understood before the first run is given."""
    opened: dict[str, Dataset] = {}
    for asked in [understand(request, found) for request in requests]:
        if asked.request.dataset not in opened:
            opened[asked.request.dataset] = _opened(asked, place, progress)
            warn_of_untrained_classes(opened[asked.request.dataset])
        dataset = opened[asked.request.dataset]
        for run in runs(asked, dataset, found):
            yield Planned(asked, dataset, run)


def _opened(asked: Understood, place: Place, progress: WatchStages) -> Dataset:
    def packing(done: int, total: int) -> None:
        progress(f"pack {asked.card.name}", done, total, {})

    return open_dataset(asked.card, place.data_root, place.cache, asked.protocol, packing)
