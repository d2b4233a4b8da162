"""The checks for authors, re-exported lazily: they train, and so stand in a later room.

from cervbench.plugin.checks import checks_of
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cervbench.checks import Check, CheckFailed, checks_of

__all__ = ["Check", "CheckFailed", "checks_of"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("cervbench.checks"), name)
    raise AttributeError(f"cervbench.plugin.checks has no {name!r}; it has {', '.join(__all__)}")
