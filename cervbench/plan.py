"""The plan: every run and record that is asked for, known before the first of them begins."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from cervbench.data.dataset import (
    Dataset,
    open_dataset,
    warn_of_unknown_groups,
    warn_of_untrained_classes,
)
from cervbench.place import Place
from cervbench.plugin.catalog import Entry
from cervbench.plugin.manager import Plugins
from cervbench.plugin.offers import EvaluationOffer
from cervbench.plugin.settings import Settings
from cervbench.records.record import EvaluationOfRecord, Run, record_id
from cervbench.resolve import Resolved, resolve
from cervbench.runs import runs
from cervbench.study import Request
from cervbench.training.recipe import Recipe
from cervbench.watching import WatchStages

if TYPE_CHECKING:
    from cervbench.data.batches import Labelled
    from cervbench.data.parts import Parts
    from cervbench.training.trained import Trained


@dataclass(frozen=True)
class PlannedRun:
    """A run, with the request that asks for it and the dataset it is on."""

    resolved: Resolved
    dataset: Dataset
    run: Run

    @property
    def recipe(self) -> Recipe:
        return self.resolved.recipe(self.run.fold)

    @cached_property
    def records(self) -> list["PlannedRecord"]:
        """The records wanted from it, by evaluation and ratio."""
        return [
            PlannedRecord(entry, settings, ratio, record_id(self.run, evaluation_of(entry, settings), ratio))
            for entry, settings in self.resolved.evaluations
            for ratio in self.resolved.ratios
        ]


@dataclass(frozen=True)
class PlannedRecord:
    """A record wanted from a run, and what its evaluation is handed: by runs, and by `plugin check`."""

    entry: Entry[EvaluationOffer]
    settings: Settings
    ratio: int
    id: str

    @property
    def evaluation(self) -> EvaluationOfRecord:
        return evaluation_of(self.entry, self.settings)

    def labelled(self, parts: "Parts") -> "list[Labelled]":
        """The labels that may be seen, once per draw; an evaluation may set `draws` to ask for fewer."""
        return parts.labelled(self.ratio, getattr(self.settings, "draws", None))

    def begin(self, trained: "Trained") -> "Trained":
        """The trained method, with an encoder, checkpoints and random numbers of this record's own."""
        trained.seed(self.entry.name, self.ratio)
        return trained.at(self.id, self.entry.offer.frozen)


def evaluation_of(entry: Entry[EvaluationOffer], settings: Settings) -> EvaluationOfRecord:
    return EvaluationOfRecord(
        name=entry.name,
        package=entry.package,
        revision=entry.offer.revision,
        settings=settings.model_dump(mode="json"),
        schema=entry.offer.schema,
        frozen=entry.offer.frozen,
    )


def plan(
    requests: Sequence[Request], place: Place, watch: WatchStages, found: Plugins
) -> Iterator[PlannedRun]:
    """The runs that requests ask for, in order; all requests are resolved before the first run is yielded.

    A device that is not there is refused too, before anything is packed or written.
    """
    if place.device not in (Place.device, "cpu"):  # which are always there, so torch need not be imported
        from cervbench.training.device import named_device

        named_device(place.device)
    opened: dict[str, Dataset] = {}
    for resolved in [resolve(request, found) for request in requests]:
        name = resolved.request.dataset
        if name not in opened:
            card, rules = resolved.card, resolved.protocol
            opened[name] = open_dataset(card, place.data_root, place.cache, rules, watch)
            warn_of_unknown_groups(opened[name])
            warn_of_untrained_classes(opened[name])
        for run in runs(resolved, opened[name]):
            yield PlannedRun(resolved, opened[name], run)
