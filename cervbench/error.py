"""What is the user's to mend. The message says what is wrong, where, and what to do."""


class CervbenchError(Exception):
    """Every error that is raised on purpose: `except cervbench.CervbenchError` catches them all."""


class UsageError(CervbenchError):
    """What was asked for cannot be; nothing was begun."""
