"""What is demanded of a package as a whole."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from inspect import getattr_static, isfunction, signature
from typing import Any

from cervbench.checks.check import CheckFailed, Skipped
from cervbench.plugin.calling import wrong_arguments
from cervbench.plugin.installed import PLUGINS_VARIABLE
from cervbench.plugin.manager import Plugins
from cervbench.plugin.offers import BackboneOffer, EvaluationOffer, imported
from cervbench.plugin.problems import place_of_function


@dataclass(frozen=True)
class WholePackage:
    package: str
    found: Plugins


def it_loads_and_registers(whole: WholePackage) -> str | None:
    """The package can be imported, its hooks exist, and so does everything that its offers name."""
    whole.found.load_everything()
    if problems := [problem for problem in whole.found.problems if problem.package == whole.package]:
        why = "; ".join(f"{problem.what} (at {problem.where})" for problem in problems)
        raise CheckFailed(why, "; ".join(dict.fromkeys(problem.how_to_mend for problem in problems)))
    methods = whole.found.methods
    for name, entry in methods.of_package(whole.package):
        if unknown := [one for one in entry.offer.builds_on if one not in methods]:
            raise CheckFailed(
                f"method {name} builds on {', '.join(unknown)}, which no package offers",
                "name methods that are offered in `builds_on` of its Offer, and require their packages",
            )
        _require_the_contracts_arguments(entry.offer.method)
    offers: list[tuple[str, EvaluationOffer | BackboneOffer]] = [
        *((f"evaluation {n}", one.offer) for n, one in whole.found.evaluations.of_package(whole.package)),
        *((f"backbone {n}", one.offer) for n, one in whole.found.backbones.of_package(whole.package)),
    ]
    for name, offer in offers:
        for part, arguments in offer.called_with.items():
            function = imported(getattr(offer, part))
            if function and (wrong := wrong_arguments(function, arguments)):
                raise _with_other_arguments(function, f"{part} of {name} {wrong}", arguments)
    if not any(catalog.of_package(whole.package) for catalog in whole.found.catalogs):
        return "it offers nothing: it only watches"
    return None


def _require_the_contracts_arguments(offered: str | type) -> None:
    """A method is called with the arguments of the contract in their order, whatever it calls them."""
    from cervbench.plugin.method import CONTRACT, Method

    learner = imported(offered)
    for name in CONTRACT:
        contract, own = signature(getattr(Method, name)), getattr_static(learner, name, None)
        if not isfunction(own):
            continue
        try:
            signature(own).bind(*contract.parameters)
        except TypeError as error:
            told = f"{name} of {learner.__name__} takes other arguments than it is called with: {error}"
            raise _with_other_arguments(own, told, list(contract.parameters)) from None


def _with_other_arguments(function: Callable[..., Any], what: str, names: Sequence[str]) -> CheckFailed:
    written = getattr(function, "__name__", "predict")
    return CheckFailed(
        f"{what} (at {place_of_function(function)})", f"write `def {written}({', '.join(names)})`"
    )


def each_offer_has_a_reference(whole: WholePackage) -> None:
    """Methods, evaluations and backbones say where they come from, and datasets how to cite them."""
    if silent := [name for name, reference in _references(whole) if not reference.strip()]:
        raise CheckFailed(
            f"{', '.join(silent)}: the reference is empty",
            "name the paper, the report or the idea in one line: pages show it beside the scores",
        )


def it_registers_without_torch(whole: WholePackage) -> str | None:
    """What the entry point names imports no torch, so that listing and --help stay quick."""
    program = (
        "import json, sys\n"
        "sys.path[:] = json.loads(sys.argv[1])\n"
        "sys.modules['torch'] = None\n"  # makes an import of torch fail, which is reported with its line
        "from cervbench.plugin.manager import Plugins\n"
        "found = Plugins.discover()\n"
        "told = [[p.package, p.what, p.where] for p in found.problems]\n"
        "print(json.dumps([list(found.packages), told]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(sys.path)],
        env=os.environ | {PLUGINS_VARIABLE: whole.package},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise CheckFailed(done.stderr.strip()[-500:], "repair what ends the interpreter on import")
    packages, told = json.loads(done.stdout.splitlines()[-1])
    if whole.package not in packages:
        return Skipped("it was registered by hand, and only an installed package can be loaded anew")
    for package, what, where in told:
        if package == whole.package and "torch" in what:
            raise CheckFailed(
                f"{what} (at {where})",
                "keep what needs it in a module of its own and name that in the offer as a string, "
                '"my_package.method:MyMethod"; __init__.py holds the settings and the hooks',
            )
    return None


DEMANDS: tuple[Callable[[WholePackage], str | None], ...] = (
    it_loads_and_registers,
    each_offer_has_a_reference,
    it_registers_without_torch,
)


def _references(whole: WholePackage) -> Iterator[tuple[str, str]]:
    found = whole.found
    for catalog in (found.methods, found.evaluations, found.backbones):
        for name, entry in catalog.of_package(whole.package):
            yield f"{catalog.kind} {name}", entry.offer.reference
    for name, card in found.datasets.of_package(whole.package):
        yield f"dataset {name}", card.offer.citation
