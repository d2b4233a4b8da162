"""A record that is due, and how its evaluation is asked: by a run and by `cervbench plugin check` alike."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cervbench.plugin.catalog import Entry
from cervbench.plugin.offers import EvaluationOffer
from cervbench.plugin.problems import AnswerError, shown
from cervbench.plugin.settings import Settings
from cervbench.records.record import EvaluationOfRecord, Run, record_id
from cervbench.records.table import canonical, to_columns
from cervbench.runs import Understood
from cervbench.scoring.task import Task

if TYPE_CHECKING:
    from cervbench.data.batches import Labelled
    from cervbench.data.parts import Parts
    from cervbench.training.trained import Trained


@dataclass(frozen=True)
class Due:
    """One record that is asked of a run."""

    entry: Entry[EvaluationOffer]
    settings: Settings
    ratio: int
    id: str

    @property
    def evaluation(self) -> EvaluationOfRecord:
        return name_evaluation(self.entry, self.settings)

    def labelled(self, parts: "Parts") -> "list[Labelled]":
        """What may be seen, once a draw; an evaluation may ask for fewer draws by a setting of that name."""
        return parts.labelled(self.ratio, getattr(self.settings, "draws", None))

    def begin(self, trained: "Trained") -> "Trained":
        """What is trained, as it sets to work on this record: its own checkpoints, its own random numbers."""
        trained.seed(self.entry.name, self.ratio)
        return trained.at(self.id)

    def table(self, trained: "Trained", labelled: "Sequence[Labelled]", parts: "Parts") -> pa.Table:
        """The test images predicted and joined with the truth, as it is stored."""
        predict = self.entry.offer.load_predict()
        answers = predict(self.begin(trained), labelled, parts.test, self.settings)
        return canonical(parts.with_truth(answers, [seen.draw for seen in labelled]))

    def scores(self, table: pa.Table, task: Task) -> dict[str, Any]:
        """What the evaluation makes of its stored table; AnswerError where a record cannot hold it."""
        try:
            scores = self.entry.offer.load_score()(to_columns(table), task)
        except ValueError as error:
            raise AnswerError(str(error)) from error
        if not isinstance(scores, Mapping) or not all(isinstance(name, str) for name in scores):
            raise AnswerError(f"score returns {shown(scores)}, where a dict of names to numbers is due")
        try:
            json.dumps(scores, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise AnswerError(f"its scores are not what JSON can hold: {error}") from error
        return dict(scores)


def due(asked: Understood, run: Run) -> list[Due]:
    """The records asked of a run, by evaluation and ratio."""
    return [
        Due(entry, settings, ratio, record_id(run, name_evaluation(entry, settings), ratio))
        for entry, settings in asked.evaluations
        for ratio in asked.ratios
    ]


def name_evaluation(entry: Entry[EvaluationOffer], settings: Settings) -> EvaluationOfRecord:
    return EvaluationOfRecord(
        name=entry.name,
        package=entry.package,
        revision=entry.offer.revision,
        settings=settings.model_dump(mode="json"),
        schema=entry.offer.schema,
        frozen=entry.offer.frozen,
    )
