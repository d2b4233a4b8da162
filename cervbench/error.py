"""Errors that users can fix without reading this code: each says what is wrong, where, and what to do."""

from collections.abc import Sequence


class CervbenchError(Exception):
    """The base of every error class of the package: `except cervbench.CervbenchError` catches them all."""


class UsageError(CervbenchError):
    """What was asked for is impossible; nothing has been started."""


def first_few(things: Sequence[str]) -> str:
    """The first three as a line, and how many more there are."""
    return "; ".join(things[:3]) + (f"; and {len(things) - 3} more" if len(things) > 3 else "")
