"""What is demanded of an evaluation."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import pyarrow as pa

from cervbench.checks import drawn_dataset
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
    offered_as: str
    entry: Entry[EvaluationOffer]

    @property
    def name(self) -> str:
        return f"evaluation {self.offered_as}"

    @property
    def home(self) -> str:
        return home_of(self.entry.offer.predict)

    @cached_property
    def table(self) -> pa.Table:
        return self.answered()

    @property
    def record(self) -> PlannedRecord:
        """The evaluation as a run would ask for it, at half of the labels."""
        fixed = drawn_dataset.protocol().settings_of(self.entry.package, self.entry.name)
        return PlannedRecord(self.entry, self.entry.offer.settings.parse(fixed, self.name), RATIO, "checked")

    def answered(self) -> pa.Table:
        """The table of predictions, joined with the truth, stored, and read back."""
        one, parts, store = self.record, parts_at(32), Store(drawn_dataset.folder())
        try:
            table = one.table(_untrained(), one.labelled(parts), parts)
        finally:  # or what is trained next would go on where this ended or failed
            _untrained().at(one.id).clear_checkpoints()
        store.write_predictions(self.offered_as, one.id, table)
        return store.table(self.offered_as, one.id)


@cache
def _untrained() -> Trained:
    """A method with an untrained encoder, since an evaluation has to work on any."""
    return ExaminedMethod("supervised", cervbench_methods()["supervised"]).undisturbed.trained


def it_answers_each_test_image_once_a_draw(evaluation: ExaminedEvaluation) -> None:
    """`predict` gives columns of equal length with `image` and `draw`, for what it was asked and no more."""
    assert evaluation.table.num_rows > 0  # making the table is the check: with_truth refuses anything else


def it_gives_the_same_answers_again(evaluation: ExaminedEvaluation) -> None:
    """The same question has the same answer, to the bit."""
    if content_hash(evaluation.table) != content_hash(evaluation.answered()):
        raise CheckFailed(
            "the same images, labels and encoder gave two tables of predictions",
            "draw from torch after trained.seed(…), which makes a draw a function of seed and fold",
        )


def its_scores_are_a_function_of_the_table(evaluation: ExaminedEvaluation) -> None:
    """`score` works from the stored table alone and gives named numbers that JSON can hold."""
    one, task = evaluation.record, task_of(drawn_dataset.dataset())
    first, second = (one.scores(evaluation.table, task) for _ in range(2))
    if json.dumps(first, allow_nan=False) != json.dumps(second, allow_nan=False):
        raise CheckFailed("the same table was scored with two results", "draw nothing at random in `score`")


DEMANDS: tuple[Callable[[ExaminedEvaluation], str | None], ...] = (
    it_answers_each_test_image_once_a_draw,
    it_gives_the_same_answers_again,
    its_scores_are_a_function_of_the_table,
)
