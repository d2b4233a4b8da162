"""Pages made from records, and from nothing else."""

from cervbench.leaderboard.compared import ComparisonError, compare_rows
from cervbench.leaderboard.flat import FlatFigure, flat_figures
from cervbench.leaderboard.pages import PagesError, build, check

__all__ = ["ComparisonError", "FlatFigure", "PagesError", "build", "check", "compare_rows", "flat_figures"]
