"""Whether intervals hold with few draws or seeds: means over groups, seeds and draws, of normal effects.

    python scripts/few_draws_and_seeds.py [--repeats 10000]

Prints the last two tables of docs/intervals.md.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from cervbench.scoring.intervals import Design, estimate, of_one_seed
from cervbench.scoring.tally import Floats

FOLDS = (5, 1)


@dataclass(frozen=True)
class Effects:
    """Deviations of normal effects: of a group, of a draw, of a seed in a fold, and of what two share."""

    group: float
    draw: float
    group_draw: float
    seed: float = 0.0
    group_seed: float = 0.0
    seed_draw: float = 0.0


GROUPS = (120, 15)
OF_DRAWS = tuple(
    Effects(*sizes)
    for sizes in ((1, 1, 1), (1, 0, 3), (0.3, 0.1, 3), (0.1, 0.3, 3), (0.01, 0.1, 1), (0.01, 0.3, 1))
)
SEEDS = (2, 3, 5)
OF_SEEDS = (
    (1, Effects(1, 0, 0, seed=0.05, group_seed=1)),
    (1, Effects(1, 0, 0, seed=0.2, group_seed=1)),
    (1, Effects(1, 0, 0, seed=1, group_seed=1)),
    (1, Effects(0.1, 0, 0, seed=1, group_seed=0.1)),
    (1, Effects(0.3, 0, 0, seed=0.1, group_seed=3)),
    (5, Effects(1, 0.1, 1, seed=0.2, group_seed=1, seed_draw=0.2)),
    (5, Effects(1, 0.1, 1, seed=0.2, group_seed=3, seed_draw=0.5)),
    (5, Effects(0.1, 0.1, 0.1, seed=0.5, group_seed=0.1, seed_draw=0.5)),
)
"""Beside the number of draws."""


@dataclass(frozen=True)
class Means:
    """Of means of such effects, how often Student's interval holds 0, which they are of."""

    fewest: float
    """How often the degrees of freedom are the fewest there can be."""
    covered: float
    covered_there: float


def over_draws(groups: int, effects: Effects, repeats: int, draws: int = 5) -> Means:
    """A single seed and a single fold."""
    rng, folds, found = np.random.default_rng(0), np.zeros(groups, dtype=np.int64), []
    for _ in range(repeats):
        values = (
            effects.group * rng.standard_normal((groups, 1))
            + effects.draw * rng.standard_normal((1, draws))
            + effects.group_draw * rng.standard_normal((groups, draws))
        )
        left_out = (values.sum(axis=0) - values) / (groups - 1)
        known = estimate(of_one_seed(np.vstack([values.mean(axis=0), left_out]), folds), folds)
        assert known is not None
        found.append((known.freedom <= min(groups, draws) - 1, abs(known.value) <= known.reach))
    few, covered = np.array(found).T
    there = float(covered[few].mean()) if few.any() else np.nan
    return Means(float(few.mean()), float(covered.mean()), there)


def over_seeds(
    seeds: int, draws: int, effects: Effects, repeats: int, groups: int = 120, folds: int = 5
) -> float:
    """How often an interval over several seeds covers; every fold is trained anew with each."""
    rng, of_group = np.random.default_rng(0), np.repeat(np.arange(folds), groups // folds)
    weights, covered = Design(np.arange(groups), of_group).weights, 0
    for _ in range(repeats):
        of_fold = effects.seed * rng.standard_normal((folds, seeds, 1))
        of_fold = of_fold + effects.seed_draw * rng.standard_normal((folds, seeds, draws))
        cells: Floats = (
            of_fold[of_group]
            + effects.group * rng.standard_normal((groups, 1, 1))
            + effects.draw * rng.standard_normal((1, 1, draws))
            + effects.group_seed * rng.standard_normal((groups, seeds, 1))
            + effects.group_draw * rng.standard_normal((groups, 1, draws))
        )
        in_folds = cells.reshape(folds, -1, seeds, draws).sum(axis=1) / groups
        others = (in_folds.sum(axis=0) - in_folds).mean(axis=1, keepdims=True)
        values = np.concatenate([np.tensordot(weights, cells, 1) / groups, in_folds + others])
        known = estimate(values, of_group)
        assert known is not None
        covered += abs(known.value) <= known.reach
    return covered / repeats


def lines(repeats: int) -> Iterator[str]:
    yield "| groups | deviation of groups | of draws | of both | fewest | covered | covered there |"
    yield "|---|---|---|---|---|---|---|"
    for groups in GROUPS:
        for effects in OF_DRAWS:
            means = over_draws(groups, effects, repeats)
            told = f"{effects.group:g} | {effects.draw:g} | {effects.group_draw:g}"
            there = "–" if np.isnan(means.covered_there) else f"{means.covered_there:.1%}"
            yield f"| {groups} | {told} | {means.fewest:.1%} | {means.covered:.1%} | {there} |"
    yield ""
    names = "folds | draws | group | seed | group × seed | draw | group × draw | seed × draw"
    yield f"| {names} | {' | '.join(f'{seeds} seeds' for seeds in SEEDS)} |"
    yield f"|{'---|' * (8 + len(SEEDS))}"
    for folds, (draws, own) in product(FOLDS, OF_SEEDS):
        deviations = (own.group, own.seed, own.group_seed, own.draw, own.group_draw, own.seed_draw)
        covered = (over_seeds(seeds, draws, own, repeats // 2, folds=folds) for seeds in SEEDS)
        cells = [f"{number:g}" for number in (folds, draws, *deviations)]
        yield f"| {' | '.join([*cells, *(f'{share:.1%}' for share in covered)])} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=10_000, help="means a row; of seeds half as many")
    for line in lines(parser.parse_args().repeats):
        print(line, flush=True)


if __name__ == "__main__":
    main()
