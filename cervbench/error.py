"""What can be mended without reading this code. The message says what is wrong, where, and what to do."""


class CervbenchError(Exception):
    """The base of every error class of the package: `except cervbench.CervbenchError` catches them all."""


class UsageError(CervbenchError):
    """What was asked for cannot be; nothing was begun."""
