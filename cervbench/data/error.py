"""The error of whatever is wrong with data."""

from cervbench.error import CervbenchError


class DataError(CervbenchError):
    """Something is wrong with the files of a dataset; the message says what, where, and what to do."""
