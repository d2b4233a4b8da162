"""Who watches what takes long: told by the work, given by whoever shows it."""

from collections.abc import Callable, Mapping

WatchStages = Callable[[str, int, int, Mapping[str, float]], None]
"""Told what is done, its step, of how many (0 where they are not counted), and values to show."""

WatchCount = Callable[[int, int], None]
"""Told how many are done, of how many."""


def unwatched(*told: object) -> None:
    """Where nobody watches."""
