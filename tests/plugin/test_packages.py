"""What is demanded of any package is demanded of the project's own."""

import ast
import re
from pathlib import Path

import pytest

from cervbench.checks.of_methods import it_keeps_to_the_device_of_its_views
from cervbench.plugin.checks import Check, checks_of
from cervbench.plugin.manager import plugins
from cervbench.plugin.missing_methods import PACKAGES

PLUGINS = Path(__file__).parents[2] / "plugins"
CHECKS = [check for package in ("cervbench", *sorted({*PACKAGES.values()})) for check in checks_of(package)]


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_a_package_of_the_project(check: Check) -> None:
    note = check()
    if check.demand is it_keeps_to_the_device_of_its_views:
        assert "waits" not in note  # no step of the project's own does


@pytest.mark.parametrize("package", sorted({*PACKAGES.values()}))
def test_a_package_says_how_much_it_was_tuned(package: str) -> None:
    """Where whoever installs it alone can read it."""
    readme = PLUGINS / package / "README.md"
    assert re.search(r"^Tuned: [^.]+", readme.read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("package", sorted({*PACKAGES.values()}))
def test_a_package_names_whose_code_its_methods_build_on(package: str) -> None:
    """Else another revision of that code would leave them the runs that they were."""
    home = package.replace("-", "_")
    trees = [ast.parse(path.read_text("utf-8")) for path in PLUGINS.glob(f"{package}/src/**/*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported = {node.module or "" for node in nodes}
    others = {name.partition(".")[0] for name in imported if name.startswith("cervbench_")} - {home}
    offers = [entry.offer for _, entry in plugins().methods.items() if entry.package == package]
    named = {built.partition(":")[0].replace("-", "_") for offer in offers for built in offer.builds_on}
    assert offers
    assert named == others
