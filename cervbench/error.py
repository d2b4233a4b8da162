"""Errors that users can fix without reading this code: each says what is wrong, where, and what to do."""

import logging
from collections.abc import Sequence
from functools import cache


class CervbenchError(Exception):
    """The base of every error class of the package: `except cervbench.CervbenchError` catches them all."""


class UsageError(CervbenchError):
    """What was asked for is impossible; nothing has been started."""


class Diverged(CervbenchError, ArithmeticError):  # noqa: N818
    """Training has diverged, so that numbers are no longer finite; the message says which and what to try."""


def first_few(things: Sequence[str]) -> str:
    """The first three as a line, and how many more there are."""
    return "; ".join(things[:3]) + (f"; and {len(things) - 3} more" if len(things) > 3 else "")


@cache
def warn_once(message: str) -> None:
    """Log a warning, unless this process has done so: several requests may read the same files."""
    logging.getLogger("cervbench").warning("%s", message)
