"""Checks that a package keeps the plugin contract. Each is a function, whose name says what it demands.

Authors find them in `cervbench.plugin.checks`, together with helpers for tests of their own, and run them
with `cervbench plugin check PACKAGE`.
"""

from cervbench.checks.check import Check, CheckFailed
from cervbench.checks.for_tests import AsItIs, followed, small_encoder
from cervbench.checks.generator import checks_of

__all__ = ["AsItIs", "Check", "CheckFailed", "checks_of", "followed", "small_encoder"]
