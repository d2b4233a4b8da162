"""Callbacks that report the progress of slow work."""

from collections.abc import Callable, Mapping

WatchStages = Callable[[str, int, int, Mapping[str, float]], None]
"""Called with what is being done, how many steps of it are done, of how many (0 if unknown), and values."""


def unwatched(*told: object) -> None:
    """The callback for work that nobody watches."""
