"""A package that fails on import."""

raise RuntimeError("this package is broken on purpose")
