"""Whether intervals hold with few draws or seeds: means over groups and draws, of normal effects.

    python scripts/fewest_freedom.py [--repeats 10000]

Prints the last table of docs/intervals.md.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cervbench.scoring.intervals import estimate

DESIGNS = ((120, 5), (15, 5), (120, 3), (120, 2))
"""Groups, and the draws (or seeds, which are treated alike) that they are crossed with."""
EFFECTS = ((1, 1, 1), (1, 0, 3), (0.3, 0.1, 3), (0.1, 0.3, 3), (0.01, 0.1, 1), (0.01, 0.3, 1))
"""Deviations of groups, of draws, and of both."""


@dataclass(frozen=True)
class Fewest:
    """Of normal effects of groups, draws and both, a mean, and Student's interval of it."""

    share: float
    """How often the degrees of freedom are the fewest there can be."""
    covered: float
    covered_there: float


def fewest_freedom(
    groups: int, draws: int, group: float, draw: float, group_draw: float, repeats: int, seed: int = 0
) -> Fewest:
    rng = np.random.default_rng(seed)
    folds, found = np.zeros(groups, dtype=np.int64), []
    for _ in range(repeats):
        values = (
            group * rng.standard_normal((groups, 1))
            + draw * rng.standard_normal((1, draws))
            + group_draw * rng.standard_normal((groups, draws))
        )
        left_out = (values.sum(axis=0) - values) / (groups - 1)
        known = estimate(np.vstack([values.mean(axis=0), left_out]), folds)
        assert known is not None
        found.append((known.freedom <= min(groups, draws) - 1, abs(known.value) <= known.reach))
    few, covered = np.array(found).T
    there = float(covered[few].mean()) if few.any() else np.nan
    return Fewest(float(few.mean()), float(covered.mean()), there)


def lines(repeats: int) -> Iterator[str]:
    yield "| groups | draws | deviation of groups | of draws | of both | fewest | covered | covered there |"
    yield "|---|---|---|---|---|---|---|---|"
    for groups, draws in DESIGNS:
        for effects in EFFECTS:
            group, draw, group_draw = effects
            means = fewest_freedom(groups, draws, group, draw, group_draw, repeats)
            told = " | ".join(f"{effect:g}" for effect in effects)
            there = "–" if np.isnan(means.covered_there) else f"{means.covered_there:.1%}"
            yield f"| {groups} | {draws} | {told} | {means.share:.1%} | {means.covered:.1%} | {there} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=10_000, help="means a row")
    for line in lines(parser.parse_args().repeats):
        print(line, flush=True)


if __name__ == "__main__":
    main()
