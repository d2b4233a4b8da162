"""A function of a package asks by name for what it needs, and is given no more."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import pytest

from cervbench.plugin.calling import call, wrong_arguments


def behind(columns: int, task: int) -> tuple[int, int]:
    return columns, task


@wraps(behind)
def decorated_for_all(*given: int, **named: int) -> tuple[int, int]:
    return behind(*given, **named)


@wraps(behind)
def decorated_by_place(*given: int) -> tuple[int, int]:
    return behind(*given)


GIVEN = {"columns": 1, "task": 2}


@pytest.mark.parametrize(
    ("function", "answer"),
    [
        (lambda columns, task: (columns, task), (1, 2)),
        (lambda task, columns: (columns, task), (1, 2)),
        (lambda *, task: task, 2),
        (lambda: 0, 0),
        (lambda task, *, more=3: (task, more), (2, 3)),
        (partial(lambda more, task: (more, task), 3), (3, 2)),
        (decorated_for_all, (1, 2)),
        (lambda columns, **others: (columns, others), (1, {"task": 2})),
        (lambda *given, **named: (given, named), ((), GIVEN)),
        (dict, GIVEN),  # does not tell what it takes
    ],
)
def test_it_is_given_what_it_asks_for_and_no_more(function: Callable[..., Any], answer: Any) -> None:
    assert wrong_arguments(function, list(GIVEN)) == ""
    assert call(function, **GIVEN) == answer


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda colums: 0, "asks for 'colums'; did you mean 'columns'? (it may ask for columns, task)"),
        (lambda *given: 0, "takes `*given` by its place, and is given its arguments by name"),
        (lambda columns, /, task: 0, "takes `columns` by its place"),
        (lambda columns, tasks=None: 0, "asks for 'tasks'; did you mean 'task'?"),
        (decorated_by_place, "says that it asks for columns, task, and does not take that"),
    ],
)
def test_what_it_cannot_be_given_is_told(function: Callable[..., Any], told: str) -> None:
    assert told in wrong_arguments(function, list(GIVEN))
