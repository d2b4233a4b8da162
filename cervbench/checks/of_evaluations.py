"""What is demanded of an evaluation."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import pyarrow as pa

from cervbench.checks import ground
from cervbench.checks.check import CheckFailed
from cervbench.checks.examined import ExaminedMethod, parts_at
from cervbench.methods import cervbench_methods
from cervbench.plan import PlannedRecord
from cervbench.plugin import EvaluationOffer
from cervbench.plugin.catalog import Entry
from cervbench.plugin.problems import home_of
from cervbench.records.store import Store
from cervbench.records.table import content_hash
from cervbench.runs import task_of
from cervbench.training.trained import Trained

RATIO = 50


@dataclass(frozen=True, eq=False)
class ExaminedEvaluation:
    evaluation: str
    entry: Entry[EvaluationOffer]

    @property
    def name(self) -> str:
        return f"evaluation {self.evaluation}"

    @property
    def home(self) -> str:
        return home_of(self.entry.offer.predict)

    @cached_property
    def table(self) -> pa.Table:
        return self.answered()

    @property
    def record(self) -> PlannedRecord:
        """As a run would ask for it, at half the labels."""
        fixed = ground.protocol().settings_of(self.entry.package, self.entry.name)
        return PlannedRecord(self.entry, self.entry.offer.settings.parse(fixed, self.name), RATIO, "checked")

    def answered(self) -> pa.Table:
        """The table of predictions, joined with the truth, stored, and read back."""
        one, parts, store = self.record, parts_at(32), Store(ground.folder())
        try:
            table = one.table(_untrained(), one.labelled(parts), parts)
        finally:  # what trains next begins anew, and not where this one ended or failed
            _untrained().at(one.id).clear_checkpoints()
        store.write_predictions(self.evaluation, one.id, table)
        return store.table(self.evaluation, one.id)


@cache
def _untrained() -> Trained:
    """An encoder as it starts: an evaluation has to work on any."""
    return ExaminedMethod("supervised", cervbench_methods()["supervised"]).undisturbed.trained


def it_answers_each_test_image_once_a_draw(evaluation: ExaminedEvaluation) -> None:
    """`predict` gives columns of equal length with `image` and `draw`, for what it was asked and no more."""
    assert evaluation.table.num_rows > 0


def it_gives_the_same_answers_again(evaluation: ExaminedEvaluation) -> None:
    """The same question has the same answer, to the bit."""
    if content_hash(evaluation.table) != content_hash(evaluation.answered()):
        raise CheckFailed(
            "the same images, labels and encoder gave two tables of predictions",
            "draw from torch after trained.seed(…), which makes a draw a function of seed and fold",
        )


def its_scores_are_a_function_of_the_table(evaluation: ExaminedEvaluation) -> None:
    """`score` works from the stored table alone and gives named numbers that JSON can hold."""
    one, task = evaluation.record, task_of(ground.dataset())
    first, second = (one.scores(evaluation.table, task) for _ in range(2))
    if json.dumps(first, allow_nan=False) != json.dumps(second, allow_nan=False):
        raise CheckFailed("the same table was scored with two results", "draw nothing at random in `score`")


DEMANDS: tuple[Callable[[ExaminedEvaluation], str | None], ...] = (
    it_answers_each_test_image_once_a_draw,
    it_gives_the_same_answers_again,
    its_scores_are_a_function_of_the_table,
)
