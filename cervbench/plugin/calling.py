"""Calls a function of a package by the names of its arguments, as hooks are called.

It asks for those that it needs, and leaves out the others. So more can be given to it one day.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from cervbench.plugin.settings import did_you_mean


def call(function: Callable[..., Any], **given: Any) -> Any:
    """What the function returns for those of these arguments that it asks for."""
    asked = _parameters(function)
    if asked is None or any(one.kind is one.VAR_KEYWORD for one in asked):
        return function(**given)
    return function(**{one.name: given[one.name] for one in asked if one.name in given})


def wrong_arguments(function: Callable[..., Any], names: Sequence[str]) -> str:
    """Why a function cannot be called with arguments of these names; empty if it can."""
    asked = _parameters(function)
    if asked is None:
        return ""
    if any(one.kind is one.VAR_KEYWORD for one in asked):
        asked = [one for one in asked if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]
    for one in asked:
        if one.kind in (one.POSITIONAL_ONLY, one.VAR_POSITIONAL):
            return f"takes `{one}` by its place, and is given its arguments by name"
        # A default does not excuse another name: whoever means `settings` by `config` would be given none.
        own = one.kind is one.KEYWORD_ONLY and one.default is not one.empty
        if one.name not in names and not own:
            hint = did_you_mean(one.name, names)
            return f"asks for {one.name!r}{hint} (it may ask for {', '.join(names)})"
    given = [one.name for one in asked if one.name in names]
    try:  # a decorator can say that it takes what the function behind it takes, and take something else
        inspect.signature(function, follow_wrapped=False).bind(**dict.fromkeys(given))
    except TypeError as error:
        return f"says that it asks for {', '.join(given)}, and does not take that: {error}"
    return ""


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """None for what does not tell what it takes: a builtin function, or what is none."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
