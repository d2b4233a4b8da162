"""Checks for authors, and encoders for tests of their own; imported lazily, from a room further on.

from cervbench.plugin.checks import checks_of, small_encoder
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cervbench.checks import AsItIs, Check, CheckFailed, checks_of, followed, small_encoder

__all__ = ["AsItIs", "Check", "CheckFailed", "checks_of", "followed", "small_encoder"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("cervbench.checks"), name)
    raise AttributeError(f"cervbench.plugin.checks has no {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
