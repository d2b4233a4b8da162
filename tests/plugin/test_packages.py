"""What is demanded of any package is demanded of the project's own."""

import re
from pathlib import Path

import pytest

from cervbench.checks.of_methods import it_keeps_to_the_device_of_its_views
from cervbench.plugin.checks import Check, checks_of
from cervbench.plugin.missing_methods import PACKAGES

CHECKS = [check for package in ("cervbench", *sorted({*PACKAGES.values()})) for check in checks_of(package)]


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_a_package_of_the_project(check: Check) -> None:
    note = check()
    if check.demand is it_keeps_to_the_device_of_its_views:
        assert "waits" not in note  # no step of the project's own does


@pytest.mark.parametrize("package", sorted({*PACKAGES.values()}))
def test_a_package_says_how_much_it_was_tuned(package: str) -> None:
    """Where whoever installs it alone can read it."""
    readme = Path(__file__).parents[2] / "plugins" / package / "README.md"
    assert re.search(r"^Tuned: [^.]+", readme.read_text("utf-8"), re.MULTILINE)
