"""What is demanded of any package is demanded of the project's own."""

import pytest

from cervbench.checks.of_methods import it_keeps_to_the_device_of_its_views
from cervbench.plugin.catalog import PACKAGES
from cervbench.plugin.checks import Check, checks_of

CHECKS = [check for package in ("cervbench", *PACKAGES.values()) for check in checks_of(package)]


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_a_package_of_the_project(check: Check) -> None:
    check()


@pytest.mark.parametrize(
    "check", [one for one in CHECKS if one.demand is it_keeps_to_the_device_of_its_views], ids=str
)
def test_no_step_of_a_method_of_the_project_waits_for_a_gpu(check: Check) -> None:
    assert check() == ""
