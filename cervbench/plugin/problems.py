"""What is wrong with a plugin, by package, file and line."""

import inspect
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cervbench.error import CervbenchError


class ContractError(CervbenchError, TypeError):
    """A method returned what its contract does not allow; the message is for its author."""


class AnswerError(CervbenchError, ValueError):
    """An evaluation did not answer what it was asked, or asked for what it cannot have."""


def shown(value: object) -> str:
    """What a plugin handed over, in a few words."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(shape := getattr(value, "shape", None), tuple):
        return f"a {type(value).__name__} of shape {tuple(shape)}"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {', '.join(map(shown, value[:3])) or 'nothing'}"
    return "None" if value is None else f"a {type(value).__name__}"


@dataclass(frozen=True)
class Problem:
    """One thing that keeps a plugin, or a part of it, from working."""

    package: str
    where: str
    """`file:line` in the plugin, or its entry point where it has no file yet."""
    what: str
    how_to_mend: str

    def __str__(self) -> str:
        return f"{self.package}: {self.what}\n  at {self.where}\n  {self.how_to_mend}"


def place_of(error: BaseException, inside: str, otherwise: str) -> str:
    """`file:line` where the error last went through the package `inside`, or else `otherwise`."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    places = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if belongs(module := frame.f_globals.get("__name__", ""), inside)
        and not belongs(module, "cervbench.plugin")
    ]
    return places[-1] if places else otherwise


def is_of_package(error: BaseException, package: str) -> bool:
    """Whether an error comes out of this package, or of what it calls, other than the core.

    Only its own mistake is its to mend: not what the core refuses with a message, and no lack of memory.
    """
    if isinstance(error, CervbenchError) or _lacks_memory(error):
        return False
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    last = [name for name in modules if belongs(name, package) or _is_of_core(name)][-1:]
    return bool(last) and not _is_of_core(last[0])


def _lacks_memory(error: BaseException) -> bool:
    """Of Python, of a GPU, or of torch on a processor, which has no class of its own for it."""
    named = type(error).__name__ == "OutOfMemoryError"
    return isinstance(error, MemoryError) or named or "DefaultCPUAllocator" in str(error)


def _is_of_core(module: str) -> bool:
    """`cervbench.plugin` works for whoever calls it."""
    return belongs(module, "cervbench") and not belongs(module, "cervbench.plugin")


def place_of_function(function: Callable[..., Any]) -> str:
    """`file:line` of its definition."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


def home_of(target: Any) -> str:
    """The package of what an offer names: a class, a function, or `package.module:name`."""
    module: str = target if isinstance(target, str) else target.__module__
    return module.partition(":")[0].partition(".")[0]


def belongs(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def in_words(error: BaseException) -> str:
    """An error as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
