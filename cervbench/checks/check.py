"""A check: one demand on one thing that a package offers."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from cervbench.plugin.problems import in_words, place_of


class CheckFailed(AssertionError):  # noqa: N818
    """A demand is not met; it says why, and what to do."""

    def __init__(self, why: str, to_do: str) -> None:
        super().__init__(f"{why}\n{to_do}")
        self.why, self.to_do = why, to_do


class Skipped(str):
    """The note of a check that had nothing to look at, from the reason why."""

    __slots__ = ()

    def __new__(cls, why: str) -> Self:
        return super().__new__(cls, f"not looked at: {why}")


@dataclass(frozen=True)
class Check:
    """`check()` passes and returns a note, which may be empty, or it raises CheckFailed."""

    demand: Callable[[Any], str | None]
    subject: Any
    """What the demand is made on."""
    name: str
    """How the subject is shown, such as `method simclr`."""
    home: str
    """The package that its code is imported from; in it, the line that failed is looked for."""

    def __str__(self) -> str:
        return f"{self.name}: {self.demand.__name__}"

    def __call__(self) -> str:
        try:
            return self.demand(self.subject) or ""
        except CheckFailed:
            raise
        except (Exception, SystemExit) as error:
            where = place_of(error, self.home, otherwise="")
            why = f"{in_words(error)} (at {where})" if where else in_words(error)
            raise CheckFailed(why, f"What is demanded: {inspect.getdoc(self.demand)}") from error
