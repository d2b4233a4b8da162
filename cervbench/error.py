"""What can be mended without reading this code. The message says what is wrong, where, and what to do."""

from collections.abc import Sequence


class CervbenchError(Exception):
    """The base of every error class of the package: `except cervbench.CervbenchError` catches them all."""


class UsageError(CervbenchError):
    """What was asked for cannot be; nothing was begun."""


def first_few(things: Sequence[str]) -> str:
    """The first three as a line, and how many more there are."""
    return "; ".join(things[:3]) + (f"; and {len(things) - 3} more" if len(things) > 3 else "")
