"""What is demanded of a plugin: that its hooks exist, take arguments that exist, and return offers."""

import re
from collections.abc import Iterator, Mapping
from inspect import getmembers, isroutine, signature
from typing import Any

import pluggy

from cervbench.plugin import hooks
from cervbench.plugin.catalog import CORE
from cervbench.plugin.offers import BackboneOffer, EvaluationOffer, Offer, imported
from cervbench.plugin.problems import belongs, in_words, place_of_function, shown
from cervbench.plugin.settings import did_you_mean

SPECS = dict(getmembers(hooks, lambda member: hasattr(member, "cervbench_spec")))
"""All hooks, by name."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


def invalid_hook(source: object, error: pluggy.PluginValidationError) -> tuple[str, str, str]:
    """Where the mistake is, what it is, and how to mend it; only pluggy's message names the hook."""
    message = str(error)
    for name, function in _marked(source):
        if f"'{name}'" not in message:
            continue
        where = place_of_function(function)
        if name not in SPECS:
            what = f"there is no hook {name}{did_you_mean(name, SPECS)}"
            return where, what, f"the hooks are {', '.join(SPECS)}"
        return where, message.splitlines()[-1], f"its signature is {name}{signature(SPECS[name])}"
    return repr(source), in_words(error), "see the list of hooks in cervbench/plugin/hooks.py"


def _marked(source: object) -> list[tuple[str, Any]]:
    return getmembers(source, lambda member: isroutine(member) and hasattr(member, "cervbench_impl"))


def useless_marks(source: object) -> Iterator[tuple[Any, str]]:
    """Hooks with a wrapper or ordering mark, which has no effect: each package is called alone."""
    for _, function in _marked(source):
        for mark in ("wrapper", "hookwrapper", "tryfirst", "trylast"):
            if function.cervbench_impl.get(mark):
                yield function, mark


def unmarked_hooks(source: object) -> Iterator[Any]:
    """The plugin's own functions that are named like hooks but not marked with @hookimpl."""
    home = getattr(source, "__name__", "")
    for name, function in getmembers(source, isroutine):
        if name in SPECS and not hasattr(function, "cervbench_impl") and belongs(function.__module__, home):
            yield function


def wrong_answer(hook: str, answer: object) -> str:
    """What is wrong with what a hook returned as a whole; empty when nothing is."""
    if isinstance(answer, Mapping):
        return ""
    return f"{hook} returns {shown(answer)}, where a mapping of names to {_wanted(hook).__name__} is due"


def wrong_offer(hook: str, name: object, offer: object, package: str) -> str:
    """What is wrong with one offer; empty when nothing is."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"{hook} offers the name {name!r}, which is not of small letters, digits and - _ ."
    if not isinstance(offer, _wanted(hook)):
        return (
            f"{hook} offers {shown(offer)} as {name!r}, where an instance of {_wanted(hook).__name__} is due"
        )
    if getattr(offer, "name", name) != name:
        return f"{hook} offers as {name!r} a card that is named {getattr(offer, 'name', '')!r}"
    if isinstance(offer, EvaluationOffer) and package != CORE:  # the core's own are set by the protocol
        fields = offer.settings.model_fields.items()
        if bare := [field for field, known in fields if known.is_required()]:
            return (
                f"settings of evaluation {name!r} have no default, and no option sets them: {', '.join(bare)}"
            )
    return ""


def _wanted(hook: str) -> type:
    wanted: type = {
        "cervbench_methods": Offer,
        "cervbench_datasets": imported("cervbench.plugin:Card"),
        "cervbench_backbones": BackboneOffer,
        "cervbench_evaluations": EvaluationOffer,
    }[hook]
    return wanted
