"""A check: one demand on one thing that a package offers."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from cervbench.plugin.problems import in_words, place_of


class CheckFailed(AssertionError):  # noqa: N818
    """A demand is not met; it says why, and what to do."""

    def __init__(self, why: str, to_do: str) -> None:
        super().__init__(f"{why}\n{to_do}")
        self.why, self.to_do = why, to_do


class Subject(Protocol):
    """What a check examines."""

    @property
    def name(self) -> str:
        """The name that is shown, such as `method simclr`."""

    @property
    def home(self) -> str:
        """The package that its code is imported from; in it, the line that failed is looked for."""


@dataclass(frozen=True)
class Check:
    """`check()` passes and returns a note, which may be empty, or it raises CheckFailed."""

    demand: Callable[[Any], str | None]
    subject: Subject

    def __str__(self) -> str:
        return f"{self.subject.name}: {self.demand.__name__}"

    def __call__(self) -> str:
        try:
            return self.demand(self.subject) or ""
        except CheckFailed:
            raise
        except (Exception, SystemExit) as error:
            where = place_of(error, self.subject.home, otherwise="")
            why = f"{in_words(error)} (at {where})" if where else in_words(error)
            raise CheckFailed(why, f"What is demanded: {inspect.getdoc(self.demand)}") from error
