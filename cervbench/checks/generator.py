"""All checks of a package, made from what it offers."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from packaging.utils import canonicalize_name

from cervbench.checks import of_backbones, of_datasets, of_evaluations, of_methods, of_packages
from cervbench.checks.check import Check
from cervbench.plugin.catalog import CORE, Catalog, Entry, UnknownName
from cervbench.plugin.installed import PLUGINS_VARIABLE
from cervbench.plugin.manager import Plugins, plugins
from cervbench.plugin.offers import OfferError, imported
from cervbench.plugin.problems import home_of
from cervbench.plugin.settings import nearest


def checks_of(package: str, found: Plugins | None = None) -> list[Check]:
    """The checks of an installed package, to be called one by one or to parametrise a test with:

        @pytest.mark.parametrize("check", checks_of("my-package"), ids=str)
        def test_the_package(check):
            check()

    `found` examines plugins that were registered by hand, in a notebook say.
    """
    return list(_checks(package, found or plugins()))


def _checks(package: str, found: Plugins) -> Iterator[Check]:
    if package not in found.packages:
        package = _as_pip_has_it(package, found)
    module = package.replace("-", "_")
    whole = of_packages.WholePackage(package, found)
    yield from (Check(demand, whole, f"package {package}", module) for demand in of_packages.DEMANDS)
    for name, method in _importable(found.methods, package):
        learner, home = of_methods.ExaminedMethod(name, method.offer), home_of(method.offer.method)
        demands = of_methods.demands(method.offer)
        yield from (Check(demand, learner, f"method {name}", home) for demand in demands)
    for name, dataset in found.datasets.of_package(package):
        card = dataset.offer  # its `items` is no guide to its home: for a merged card, that is cervbench's
        yield from (Check(demand, card, f"dataset {name}", module) for demand in of_datasets.DEMANDS)
    for name, evaluation in _importable(found.evaluations, package):
        judge, home = of_evaluations.ExaminedEvaluation(name, evaluation), home_of(evaluation.offer.predict)
        yield from (Check(demand, judge, f"evaluation {name}", home) for demand in of_evaluations.DEMANDS)
    for name, backbone in _importable(found.backbones, package):
        body, home = of_backbones.ExaminedBackbone(name, backbone.offer), home_of(backbone.offer.build)
        yield from (Check(demand, body, f"backbone {name}", home) for demand in of_backbones.DEMANDS)


def _importable(catalog: Catalog[Any], package: str) -> Iterator[tuple[str, Entry[Any]]]:
    """What is left out here would fail in every check: `it_loads_and_registers` tells of it, once."""
    for name, entry in catalog.of_package(package):
        with suppress(OfferError):
            for part in entry.offer.code:
                imported(getattr(entry.offer, part))
            yield name, entry


def _as_pip_has_it(package: str, found: Plugins) -> str:
    """The installed package for which pip takes this name too; any other name is refused with a hint."""
    canonical = canonicalize_name(package)
    if canonical in found.packages:
        return canonical
    prefix = f"{CORE}-"  # most names begin with it, which would make any two of them seem alike
    own = {name.removeprefix(prefix): name for name in found.packages}
    near = nearest(canonical.removeprefix(prefix), own)
    hint = f"; did you mean {own[near]!r}?" if near else ""
    known = ", ".join(found.packages) or "none"
    raise UnknownName(
        f"no package {package!r} is installed that has an entry point in the group cervbench{hint} (there "
        f"are {known}). Install it: pip install -e FOLDER; where {PLUGINS_VARIABLE} is set, it must name the "
        "package"
    )
