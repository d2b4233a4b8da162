"""Finds the packages that offer something, and keeps a broken one from disturbing the others."""

import logging
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, EntryPoint
from typing import TYPE_CHECKING, Any, Self

import pluggy

from cervbench.error import UsageError
from cervbench.plugin import hooks
from cervbench.plugin.catalog import CORE, Catalog, Entry
from cervbench.plugin.contract import (
    SPECS,
    invalid_hook,
    unmarked_hooks,
    useless_marks,
    wrong_answer,
    wrong_offer,
)
from cervbench.plugin.installed import (
    GROUP,
    is_installed,
    packages_to_load,
    unreadable,
    where_required,
    why_refused,
)
from cervbench.plugin.missing_methods import MISSING_METHODS
from cervbench.plugin.offers import BackboneOffer, EvaluationOffer, Offer, OfferError, imported
from cervbench.plugin.problems import Problem, home_of, in_words, place_of, place_of_function

if TYPE_CHECKING:
    from cervbench.data.cards.card import Card

_DISCOVERING: ContextVar[bool] = ContextVar("discovering", default=False)


@dataclass(frozen=True)
class _Plugin:
    """One registered entry point, with a hook relay of its own, so that each package is called alone."""

    package: str
    version: str
    relay: pluggy.PluginManager

    def function(self, hook: str) -> Any:
        return getattr(self.relay.hook, hook).get_hookimpls()[-1].function


class Plugins:
    """What the installed packages offer, and what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.packages: dict[str, str] = {}
        """Version of every package that has an entry point, working or not."""
        self.methods: Catalog[Offer] = Catalog("method", self.problems, MISSING_METHODS)
        self.datasets: Catalog[Card] = Catalog("dataset", self.problems)
        self.backbones: Catalog[BackboneOffer] = Catalog("backbone", self.problems)
        self.evaluations: Catalog[EvaluationOffer] = Catalog("evaluation", self.problems)
        self._plugins: list[_Plugin] = []
        self._silenced: set[tuple[str, str]] = set()

    @property
    def catalogs(self) -> tuple[Catalog[Any], ...]:
        return self.methods, self.datasets, self.backbones, self.evaluations

    @classmethod
    def discover(cls) -> Self:
        """All that is installed or, where CERVBENCH_PLUGINS is set, the core and the packages it names."""
        if _DISCOVERING.get():
            raise UsageError(
                "plugins() is called by a package while packages are being found, and would begin anew; to "
                "build on a card of cervbench's, import it: from cervbench.data.cards.herlev import CARD"
            )
        inside = _DISCOVERING.set(True)
        try:
            return cls._discovered()
        finally:
            _DISCOVERING.reset(inside)

    @classmethod
    def _discovered(cls) -> Self:
        found = cls()
        installed, found.problems[:] = packages_to_load()
        if CORE not in installed:
            found.problems.append(
                Problem(CORE, f"entry points of {CORE}", "is not installed", "in a clone: pip install -e .")
            )
        with redirect_stdout(sys.stderr):  # what packages print must not be read as what a command tells
            for package in sorted(installed, key=lambda name: (name != CORE, name)):
                found._load(package, installed)
        return found

    @classmethod
    def of(cls, plugins: Mapping[str, object]) -> Self:
        """Only these plugins: modules or objects that have hooks, by package name."""
        by_hand = cls()
        for package, plugin in plugins.items():
            by_hand.add(plugin, package)
        return by_hand

    def add(self, plugin: object, package: str, version: str = "0") -> None:
        """Register a module or an object that has hooks, in place of what `package` offered before.

        Not under the name of the core or of an installed package: a record says by name whose code it is of.
        """
        if is_installed(package):
            raise UsageError(
                f"{package!r} is the name of an installed package, and records would take this for its code; "
                "choose another, such as 'notebook'"
            )
        for catalog in self.catalogs:
            catalog.remove_package(package)
        self._plugins = [p for p in self._plugins if p.package != package]
        self.problems[:] = [p for p in self.problems if p.package != package]
        self._silenced = {(whose, hook) for whose, hook in self._silenced if whose != package}
        self.packages[package] = version
        self._register(plugin, package, version)

    def watched_by(self, package: str) -> list[str]:
        """The hooks of a package that add nothing, and watch runs."""
        adding = {catalog.hook for catalog in self.catalogs}
        own = [plugin.relay.hook for plugin in self._plugins if plugin.package == package]
        return [h for h in SPECS if h not in adding and any(getattr(o, h).get_hookimpls() for o in own)]

    def notify(self, hook: str, **values: Any) -> None:
        """Call a watching hook of every plugin; one that fails is reported once and then left alone.

        Each is handed copies of its own: what a watcher changes is in no run, and in no record.
        """
        for plugin in self._plugins:
            caller = getattr(plugin.relay.hook, hook)
            if (plugin.package, hook) in self._silenced or not caller.get_hookimpls():
                continue
            try:
                caller(**deepcopy(values))
            except (Exception, SystemExit) as error:
                self._silenced.add((plugin.package, hook))
                problem = _failed_hook(plugin, hook, error, "the run goes on, without calling it again")
                self.problems.append(problem)
                logging.getLogger("cervbench").warning("%s", problem)

    def load_everything(self) -> None:
        """Import all code that offers name, so that `problems` is complete."""
        for catalog in (self.methods, self.backbones, self.evaluations):
            for name, entry in catalog.items():
                for part in entry.offer.code:
                    target = getattr(entry.offer, part)
                    try:
                        with redirect_stdout(sys.stderr):
                            imported(target)
                    except OfferError as error:
                        why = error.__cause__ or error
                        whose = "" if part == catalog.kind else f"{part} of "
                        self._problem(
                            entry.package,
                            place_of(why, home_of(target), entry.where),
                            f"{whose}{catalog.kind} {name!r} cannot be imported: {in_words(why)}",
                            f"repair {target}",
                        )

    def _problem(self, package: str, where: str, what: str, how_to_mend: str) -> None:
        problem = Problem(package, where, what, how_to_mend)
        if problem not in self.problems:  # loading everything twice finds the same twice
            self.problems.append(problem)

    def _load(self, package: str, installed: Mapping[str, Distribution]) -> None:
        distribution = installed[package]
        self.packages[package] = distribution.version
        try:
            points = [point for point in distribution.entry_points if point.group == GROUP]
            refused = why_refused(distribution, installed.get(CORE))
            where = where_required(distribution) if refused else ""
        except Exception as error:
            self.problems.append(unreadable(distribution, error))
            return
        if refused:
            how = f"install a release of {package} for this cervbench, or the cervbench it asks for"
            self._problem(package, where, refused, how)
            return
        for point in sorted(points, key=lambda point: point.name):
            self._import(package, distribution.version, point)

    def _import(self, package: str, version: str, point: EntryPoint) -> None:
        try:
            self._register(point.load(), package, version)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # what a compiled extension raises need be no Exception
            where = place_of(error, home_of(point.value), f"entry point {point.name} = {point.value}")
            how = f"repair or reinstall {package}; until then the rest works without it"
            self._problem(package, where, f"cannot be loaded: {in_words(error)}", how)

    def _register(self, source: object, package: str, version: str) -> None:
        relay = pluggy.PluginManager("cervbench")
        relay.add_hookspecs(hooks)
        try:
            relay.register(source)
            relay.check_pending()
        except pluggy.PluginValidationError as error:
            self._problem(package, *invalid_hook(source, error))
            return
        forgotten = list(unmarked_hooks(source))
        for function in forgotten:
            what, how = f"{function.__name__} is not marked as a hook", "put @hookimpl above it"
            self._problem(package, place_of_function(function), what, how)
        for function, mark in useless_marks(source):
            what = f"{function.__name__} is marked {mark}, which does nothing: each package is asked alone"
            self._problem(package, place_of_function(function), what, f"leave {mark} out")
        if not relay.get_hookcallers(source) and not forgotten:
            where = getattr(source, "__file__", None) or repr(source)
            self._problem(package, where, "it has no hook", "see the hooks in cervbench/plugin/hooks.py")
        plugin = _Plugin(package, version, relay)
        self._plugins.append(plugin)
        for catalog in self.catalogs:
            self._collect(plugin, catalog)

    def _collect(self, plugin: _Plugin, catalog: Catalog[Any]) -> None:
        """Ask one plugin for what it adds of one kind."""
        hook = catalog.hook
        try:
            answers = [
                dict(answer) if isinstance(answer, Mapping) else answer
                for answer in getattr(plugin.relay.hook, hook)()
            ]
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            how = "what it adds is left out; repair the hook"
            self.problems.append(_failed_hook(plugin, hook, error, how))
            return
        asked = getattr(plugin.relay.hook, hook).get_hookimpls()
        if not answers and any(not (one.wrapper or one.hookwrapper) for one in asked):
            answers = [None]  # a forgotten `return`: pluggy leaves None out of the answers
        for offers in answers:
            where = place_of_function(plugin.function(hook))
            if wrong := wrong_answer(hook, offers):
                self._problem(plugin.package, where, wrong, "what it adds is left out; repair the hook")
                continue
            for name, offer in offers.items():
                wrong = wrong_offer(hook, name, offer, plugin.package) or (
                    f"offers {catalog.kind} {name!r} twice" if f"{plugin.package}:{name}" in catalog else ""
                )
                if wrong:
                    self._problem(plugin.package, where, wrong, f"{name!r} is left out; mend it in {hook}")
                    continue
                entry = Entry(name, plugin.package, plugin.version, offer, where)
                self._tell_of_clashes(entry, catalog)
                catalog.add(entry)

    def _tell_of_clashes(self, new: Entry[Any], catalog: Catalog[Any]) -> None:
        """Report a name that several packages offer as a problem of each of them but the core."""
        others = [entry for _, entry in catalog.items() if entry.name == new.name]
        choose = " or ".join(f"{entry.package}:{new.name}" for entry in [*others, new])
        for entry, other in [pair for old in others for pair in ((new, old), (old, new))]:
            if entry.package != CORE:
                taken = f"offers {catalog.kind} {new.name!r}, as {other.package} does ({other.where})"
                how = f"say {choose}; or rename it in {catalog.hook}"
                self._problem(entry.package, entry.where, taken, how)


@cache
def plugins() -> Plugins:
    """The installed plugins, discovered once per process."""
    return Plugins.discover()


def _failed_hook(plugin: _Plugin, hook: str, error: BaseException, how_to_mend: str) -> Problem:
    function = plugin.function(hook)
    inside = function.__module__.partition(".")[0]
    where = place_of(error, inside, place_of_function(function))
    return Problem(plugin.package, where, f"{hook} failed: {in_words(error)}", how_to_mend)
