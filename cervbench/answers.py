"""Calls an evaluation: for its table of predictions, and for the scores of a stored one.

Its mistakes are told as an AnswerError, with its package and with the file and line there.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cervbench.error import CervbenchError
from cervbench.plugin.calling import call, wrong_arguments
from cervbench.plugin.catalog import CORE, Entry
from cervbench.plugin.evaluation import Columns
from cervbench.plugin.offers import EvaluationOffer, imported
from cervbench.plugin.problems import (
    AnswerError,
    home_of,
    in_words,
    is_of_package,
    place_of,
    place_of_function,
    shown,
)
from cervbench.plugin.settings import Settings
from cervbench.records.table import canonical
from cervbench.scoring.task import Task

if TYPE_CHECKING:
    from cervbench.data.batches import Labelled
    from cervbench.data.parts import Parts
    from cervbench.training.trained import Trained


def table_of(
    entry: Entry[EvaluationOffer],
    settings: Settings,
    trained: "Trained",
    labelled: "Sequence[Labelled]",
    parts: "Parts",
) -> pa.Table:
    """Predict the test images once and join the truth, in the form in which the table is stored."""
    with _calling(entry, "predict") as predict:
        answers = call(predict, trained=trained, labelled=labelled, images=parts.test, settings=settings)
        try:
            return canonical(parts.with_truth(answers, [seen.draw for seen in labelled]))
        except (CervbenchError, MemoryError):
            raise
        except Exception as error:  # of torch, numpy or Arrow: a ragged column, say
            raise AnswerError(f"its columns cannot be stored: {in_words(error)}") from error


def scores_of(entry: Entry[EvaluationOffer], columns: Columns, task: Task) -> dict[str, Any]:
    """The scores of a stored table, such as a record can hold."""
    with _calling(entry, "score") as score:
        try:
            scores = call(score, columns=columns, task=task)
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
def _calling(entry: Entry[EvaluationOffer], part: str) -> Iterator[Callable[..., Any]]:
    """Gives a function of an evaluation; a mistake of its package is told with the package and its place."""
    function = imported(getattr(entry.offer, part))
    home = home_of(function)
    try:
        if wrong := wrong_arguments(function, entry.offer.called_with[part]):
            raise AnswerError(f"{part} {wrong}")
        yield function
    except Exception as error:
        if isinstance(error, AnswerError):
            told, cause = str(error), error.__cause__ or error
        elif is_of_package(error, home):
            told, cause = in_words(error), error
        else:
            raise
        where = f" (at {place_of(cause, home, place_of_function(function))})" if home != CORE else ""
        raise AnswerError(
            f"evaluation {entry.name} of package {entry.package} {entry.version}: {told}{where}. "
            "Until its authors have mended that, a run can leave it out with --eval"
        ) from error
