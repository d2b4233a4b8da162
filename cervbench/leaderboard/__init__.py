"""Pages made from records, and from nothing else."""

from cervbench.leaderboard.pages import PagesError, build, check

__all__ = ["PagesError", "build", "check"]
