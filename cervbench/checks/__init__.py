"""Checks that a package keeps the plugin contract, each a function whose name is what it demands.

Authors find them as `cervbench.plugin.checks`, which has encoders for tests of their own as well, and as
`cervbench plugin check PACKAGE`.
"""

from cervbench.checks.check import Check, CheckFailed
from cervbench.checks.encoders import AsItIs, small_encoder
from cervbench.checks.following import followed
from cervbench.checks.generator import checks_of

__all__ = ["AsItIs", "Check", "CheckFailed", "checks_of", "followed", "small_encoder"]
