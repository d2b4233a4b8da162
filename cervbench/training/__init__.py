"""Everything that trains: one loop, stages, encoders, checkpoints."""

RULES = 3
"""Revision of what is the same for all methods and is code, not a number of the protocol: loop, schedule,
clipping, the shared views, fine-tuning, batch-norm statistics. Raised when results change; in every id."""
