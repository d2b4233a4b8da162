"""Checks that a package keeps the plugin contract, each a function whose name is what it demands.

Authors find them as `cervbench.plugin.checks` and as `cervbench plugin check PACKAGE`.
"""

from cervbench.checks.check import Check, CheckFailed
from cervbench.checks.generator import checks_of

__all__ = ["Check", "CheckFailed", "checks_of"]
