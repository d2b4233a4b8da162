"""How much would a random split of a dataset leak? The answer is a page and a sheet of pictures."""

from cervbench.audit.audit import Audit, audit

__all__ = ["Audit", "audit"]
