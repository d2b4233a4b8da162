"""The plan: every run and record that is asked for, known before the first of them begins."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cervbench.data.dataset import (
    Dataset,
    open_dataset,
    warn_of_unknown_groups,
    warn_of_untrained_classes,
)
from cervbench.error import CervbenchError
from cervbench.place import Place
from cervbench.plugin.catalog import CORE, Entry
from cervbench.plugin.evaluation import Columns
from cervbench.plugin.manager import Plugins
from cervbench.plugin.offers import EvaluationOffer, imported
from cervbench.plugin.problems import (
    AnswerError,
    home_of,
    in_words,
    is_of_package,
    place_of,
    place_of_function,
    shown,
    wrong_arguments,
)
from cervbench.plugin.settings import Settings
from cervbench.records.record import EvaluationOfRecord, Run, record_id
from cervbench.records.table import canonical
from cervbench.resolve import Resolved, resolve
from cervbench.runs import recipe_of, runs
from cervbench.scoring.task import Task
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
        return recipe_of(self.resolved, self.run)

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
    """A record wanted from a run. Runs and `plugin check` both call an evaluation through this class."""

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

    def table(self, trained: "Trained", labelled: "Sequence[Labelled]", parts: "Parts") -> pa.Table:
        """Predict the test images once and join the truth, in the form in which the table is stored.

        `trained` is what `begin` gives.
        """
        predict = imported(self.entry.offer.predict)
        with _placed(predict):
            if wrong := wrong_arguments(predict, self.entry.offer.called_with["predict"]):
                raise AnswerError(f"predict {wrong}")
            answers = predict(trained, labelled, parts.test, self.settings)
            try:
                return canonical(parts.with_truth(answers, [seen.draw for seen in labelled]))
            except (CervbenchError, MemoryError):
                raise
            except Exception as error:  # of torch, numpy or Arrow: a ragged column, say
                raise AnswerError(f"its columns cannot be stored: {in_words(error)}") from error

    def scores(self, columns: Columns, task: Task) -> dict[str, Any]:
        """The evaluation's scores of a stored table; AnswerError if a record cannot hold them."""
        score = imported(self.entry.offer.score)
        with _placed(score):
            if wrong := wrong_arguments(score, self.entry.offer.called_with["score"]):
                raise AnswerError(f"score {wrong}")
            return self._scored(score, columns, task)

    def _scored(self, score: Callable[..., Any], columns: Columns, task: Task) -> dict[str, Any]:
        try:
            scores = score(columns, task)
        except ValueError as error:  # the core's own refuses what is no probability
            raise AnswerError(str(error) if home_of(score) == CORE else in_words(error)) from error
        if not isinstance(scores, Mapping) or not all(isinstance(name, str) for name in scores):
            raise AnswerError(f"score returns {shown(scores)}, where a dict of names to numbers is due")
        try:
            json.dumps(scores, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise AnswerError(f"its scores are not what JSON can hold: {error}") from error
        return dict(scores)


@contextmanager
def _placed(function: Callable[..., Any]) -> Iterator[None]:
    """Makes an AnswerError of a mistake of a package's function, and says where in the package it is."""
    try:
        yield
    except Exception as error:
        home = home_of(function)
        if isinstance(error, AnswerError):
            told = str(error)
        elif is_of_package(error, home):
            told = in_words(error)
        else:
            raise
        cause = (isinstance(error, AnswerError) and error.__cause__) or error
        where = place_of(cause, home, place_of_function(function)) if home != CORE else ""
        raise AnswerError(f"{told} (at {where})" if where else told) from error


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
    """The runs that requests ask for, in order; all requests are resolved before the first run is yielded."""
    opened: dict[str, Dataset] = {}
    for resolved in [resolve(request, found) for request in requests]:
        name = resolved.request.dataset
        if name not in opened:
            card, rules = resolved.card, resolved.protocol
            opened[name] = open_dataset(card, place.data_root, place.cache, rules, watch)
            warn_of_unknown_groups(opened[name])
            warn_of_untrained_classes(opened[name])
        for run in runs(resolved, opened[name], found):
            yield PlannedRun(resolved, opened[name], run)
