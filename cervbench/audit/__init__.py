"""What would a random split of a dataset leak? One page of figures, and a sheet of pictures."""

from cervbench.audit.audit import Audit, audit

__all__ = ["Audit", "audit"]
