"""Finds what packages offer, by name."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from cervbench.error import UsageError
from cervbench.plugin.problems import Problem
from cervbench.plugin.settings import nearest

Offered = TypeVar("Offered")
Explanation = Callable[[Sequence[Problem]], str]
"""Says why a known name is not offered here, given the problems that packages have."""

CORE = "cervbench"
"""The package whose offers go by their bare names."""


class UnknownName(UsageError, LookupError):  # noqa: N818  (it reads as what is wrong)
    """No package offers this name, or several do; the message says what there is."""


@dataclass(frozen=True)
class Entry(Generic[Offered]):
    """One thing that a package offers."""

    name: str
    package: str
    version: str
    offer: Offered
    where: str = ""
    """`file:line` of the hook that offers it."""


class Catalog(Generic[Offered]):
    """What all packages offer of one kind. A name that two of them offer belongs to neither."""

    def __init__(
        self,
        kind: str,
        problems: Sequence[Problem],
        explanations: Mapping[str, Explanation] | None = None,
    ) -> None:
        """`explanations` are of names that are known, though no package here offers them."""
        self.kind = kind
        self._problems = problems
        self._explanations = explanations or {}
        self._entries: list[Entry[Offered]] = []

    @property
    def hook(self) -> str:
        """The hook by which packages offer this kind."""
        return f"cervbench_{self.kind}s"

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._offered_as(name))

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.items())

    def items(self) -> list[tuple[str, Entry[Offered]]]:
        """Each entry under the name that `get` finds it by, sorted."""
        names = [entry.name for entry in self._entries]
        return sorted(
            (entry.name if names.count(entry.name) == 1 else f"{entry.package}:{entry.name}", entry)
            for entry in self._entries
        )

    def of_package(self, package: str) -> list[tuple[str, Entry[Offered]]]:
        """Those of `items` that a package offers."""
        return [(name, entry) for name, entry in self.items() if entry.package == package]

    def get(self, name: str) -> Entry[Offered]:
        """The entry of this `name`, or of this `package:name`."""
        offered = self._offered_as(name)
        if len(offered) == 1:
            return offered[0]
        raise UnknownName(self._ambiguous(name, offered) if offered else self._unknown(name))

    def add(self, entry: Entry[Offered]) -> None:
        self._entries.append(entry)

    def remove_package(self, package: str) -> None:
        self._entries = [entry for entry in self._entries if entry.package != package]

    def _offered_as(self, name: str) -> list[Entry[Offered]]:
        package, _, bare = name.rpartition(":")
        return [e for e in self._entries if e.name == bare and package in ("", e.package)]

    def _ambiguous(self, name: str, offered: Sequence[Entry[Offered]]) -> str:
        choices = " or ".join(f"{e.package}:{e.name} ({e.package} {e.version})" for e in offered)
        return f"{self.kind} {name!r} is offered by {len(offered)} packages; say {choices}"

    def _unknown(self, name: str) -> str:
        if explain := self._explanations.get(name):
            return explain(self._problems)
        known = list(self)
        near = nearest(name, [*known, *self._explanations])
        if near and near in self._explanations and near not in known:
            explained = self._explanations[near](self._problems)
            return f"no {self.kind} {name!r}; did you mean {near!r}? {explained}"
        hint = f"; did you mean {near!r}?" if near else ""
        there_are = f"there are {', '.join(known)}" if known else f"no package offers any {self.kind}"
        problems = "; some packages have problems, see: cervbench list plugins" if self._problems else ""
        return f"no {self.kind} {name!r}{hint} ({there_are}{problems})"
