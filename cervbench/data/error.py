"""What is wrong with data."""


class DataError(Exception):
    """Something is wrong with files of a dataset; the message says what, where, and what to do."""
