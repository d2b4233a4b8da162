"""What is demanded of an evaluation."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pyarrow as pa
from torch import Tensor, nn

from cervbench.answers import scores_of, table_of
from cervbench.checks import drawn_dataset
from cervbench.checks.check import CheckFailed, Skipped
from cervbench.checks.examined import ExaminedMethod, Killed, differing, parts_at
from cervbench.error import first_few
from cervbench.methods import cervbench_methods
from cervbench.plan import PlannedRecord
from cervbench.plugin import EvaluationOffer
from cervbench.plugin.catalog import Entry
from cervbench.records.store import Store
from cervbench.records.table import content_hash, to_columns
from cervbench.scoring.task import Task
from cervbench.training.trained import Trained

RATIO = 50
OTHERS = (1, 2, 3)
"""Seeds of other encoders: what is answered in ranks or classes may chance to be alike for one or two."""
NO_ANSWER = Skipped("it gives no table of predictions, as told above")


@dataclass(frozen=True, eq=False)
class ExaminedEvaluation:
    name: str
    entry: Entry[EvaluationOffer]

    @cached_property
    def first(self) -> tuple[pa.Table, bool] | BaseException:
        """The first table, and whether the encoder was run for it; or the error, which is told but once."""
        trained = self.handed()
        runs = _runs_of(trained)
        try:
            return self.answered(trained), bool(runs)
        except (Exception, SystemExit) as error:
            return error

    @cached_property
    def again(self) -> pa.Table:
        """What it answers to the same question, asked once more."""
        return self.answered()

    @property
    def record(self) -> PlannedRecord:
        """The evaluation as a run would ask for it, at half of the labels."""
        fixed = drawn_dataset.protocol().settings_of(self.entry.package, self.entry.name)
        settings = self.entry.offer.settings.parse(fixed, f"evaluation {self.name}")
        return PlannedRecord(self.entry, settings, RATIO, "checked")

    def handed(self, seed: int = 0) -> Trained:
        """What it works on: a method with an untrained encoder, since an evaluation has to work on any.

        It is made anew each time, so that nothing that an evaluation does to it is there in the next check.
        With another seed the encoder is another one, and what is drawn stays the same.
        """
        supervised = ExaminedMethod("supervised", cervbench_methods()["supervised"])
        recipe = supervised.recipe("CNN")
        trained = supervised.pretrained(replace(recipe, seed=seed)).trained
        return self.record.begin(replace(trained, purpose=recipe.purpose))

    def answered(self, trained: Trained | None = None) -> pa.Table:
        """The table of predictions, joined with the truth, stored, and read back."""
        one, parts, store = self.record, parts_at(32), Store(drawn_dataset.folder())
        table = table_of(one.entry, one.settings, trained or self.handed(), one.labelled(parts), parts)
        store.write_predictions(self.name, one.id, table)
        return store.table(self.name, one.id)


def it_answers_each_test_image_once_a_draw(evaluation: ExaminedEvaluation) -> None:
    """`predict` gives columns of equal length with `image` and `draw`, for what it was asked and no more."""
    if isinstance(evaluation.first, BaseException):  # making the table is the check: see with_truth
        raise evaluation.first


def it_gives_the_same_answers_again(evaluation: ExaminedEvaluation) -> str | None:
    """The same question has the same answer, to the bit, and another encoder has answers of its own."""
    if isinstance(evaluation.first, BaseException):
        return NO_ANSWER
    table, looked = evaluation.first
    if looked and all(
        content_hash(table) == content_hash(evaluation.answered(evaluation.handed(seed))) for seed in OTHERS
    ):
        raise CheckFailed(
            f"{len(OTHERS)} other encoders were answered for exactly as the first one",
            "remember nothing from one call to the next, in a global or a cache by image ids "
            "(trained.features(…) is computed once a run anyway), and let the answers depend on the encoder",
        )
    if content_hash(table) != content_hash(evaluation.again):
        raise CheckFailed(
            "the same images, labels and encoder gave two tables of predictions",
            "call trained.seed(…) before torch draws anything, and give others the number that it returns "
            "(random_state=trained.seed(…), np.random.default_rng(trained.seed(…))), which makes a draw a "
            "function of seed and fold; and remember nothing from one call to the next",
        )
    return None


def it_leaves_the_encoder_as_it_was(evaluation: ExaminedEvaluation) -> str | None:
    """`predict` changes no weight of `trained.encoder` or `trained.method`, and leaves the latter free."""
    if isinstance(evaluation.first, BaseException):
        return NO_ANSWER
    trained = evaluation.handed()
    assert trained.encoder is not None
    handed = {"trained.encoder": trained.encoder, "trained.method": trained.method}
    before = {name: (_state(module), _frozen(module)) for name, module in handed.items()}
    evaluation.answered(trained)
    for name, module in handed.items():
        state, frozen = before[name]
        # To freeze the encoder, a copy of its own, does no harm; the method is shared with other evaluations.
        froze = sorted(frozen ^ _frozen(module)) if module is trained.method else []
        if changed := differing(state, _state(module)) or froze:
            raise CheckFailed(
                f"after `predict`, {name} is not as it was handed over: {first_few(changed)}",
                "what is trained or frozen is a copy: that of trained.classifier(…), or copy.deepcopy; else "
                "one draw is answered by what another one left",
            )
    return None


def it_goes_on_after_a_kill(evaluation: ExaminedEvaluation) -> str | None:
    """Killed before its second stage begins to train, it goes on to the answers of a run without a stop."""
    if isinstance(evaluation.first, BaseException):
        return NO_ANSWER
    trained = evaluation.handed()
    begun = evaluation.record.begin(trained)
    fit, fitted = begun.fit, list[object]()

    def fit_until_killed(*asked: Any, **named: Any) -> None:
        if fitted:
            raise Killed
        fitted.append(asked)
        fit(*asked, **named)

    begun.fit = fit_until_killed  # type: ignore[method-assign]
    try:
        evaluation.answered(begun)
    except Killed:
        table, _ = evaluation.first
        if content_hash(table) != content_hash(evaluation.again):
            return Skipped("the same question has two answers, as told above")
        if content_hash(table) != content_hash(evaluation.answered(evaluation.record.begin(trained))):
            raise CheckFailed(
                "killed between two stages and asked again, it gave another table of predictions",
                "call trained.seed(…) before each draw, stage or model that anything is drawn for: what was "
                "trained before the kill is loaded, and draws nothing this time",
            ) from None
    return None


def its_scores_are_a_function_of_the_table(evaluation: ExaminedEvaluation) -> str | None:
    """`score` works from the stored table alone and gives named numbers that JSON can hold."""
    if isinstance(evaluation.first, BaseException):
        return NO_ANSWER
    table, _ = evaluation.first
    task = Task.of(drawn_dataset.dataset().card)
    first, second = (scores_of(evaluation.entry, to_columns(table), task) for _ in range(2))
    if json.dumps(first, allow_nan=False) != json.dumps(second, allow_nan=False):
        raise CheckFailed("the same table was scored with two results", "draw nothing at random in `score`")
    return None


DEMANDS: tuple[Callable[[ExaminedEvaluation], str | None], ...] = (
    it_answers_each_test_image_once_a_draw,
    it_gives_the_same_answers_again,
    it_leaves_the_encoder_as_it_was,
    it_goes_on_after_a_kill,
    its_scores_are_a_function_of_the_table,
)


def _runs_of(trained: Trained) -> list[None]:
    """Gets an entry whenever a part of the encoder is run, or of a copy of it."""
    runs: list[None] = []

    def note(*_: object) -> None:
        runs.append(None)

    for module in trained.method.encoder.modules():
        module.register_forward_pre_hook(note)
    return runs


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def _frozen(module: nn.Module) -> set[str]:
    return {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
