"""Everything that trains: one loop, stages, encoders, checkpoints."""

RULES = 3
"""The revision of the code that all methods share: loop, schedule, clipping, the shared views, fine-tuning,
batch-norm statistics. It is raised when that changes results, and is part of every id."""
