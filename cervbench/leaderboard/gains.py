"""What a row is above: the same encoder without its pretext stage, and the best reference row."""

from collections.abc import Mapping, Sequence

from cervbench.leaderboard.cells import Figure
from cervbench.leaderboard.figures import Figures
from cervbench.leaderboard.rows import Row
from cervbench.scoring.classification import HEADLINE


def gains(name: str, row: Row, others: Sequence[Row], figures: Figures) -> dict[int, dict[str, Figure]]:
    """By ratio and metric, how far a row is above the same encoder without a pretext stage, seed and images.

    At ratios where both have all folds; nothing where there is no such row, or more than one.
    """
    if row.baseline:
        return {}
    bases = [
        base for base in others if base.baseline and base.key == row.key and _begins(base) == _begins(row)
    ]
    if len(bases) != 1:
        return {}
    (base,) = bases
    return {
        ratio: figures.gain(name, row, base, ratio)
        for ratio in sorted(row.entries)
        if row.complete(ratio) and base.complete(ratio)
    }


def _begins(row: Row) -> tuple[object, ...]:
    """What the encoder of a row is before anything is trained, as far as its table does not say it."""
    run = row.sample.run
    return run.seed, run.backbone_revision, run.weights, run.dataset.pack


def best_references(
    references: Sequence[tuple[str, Row]], ratios: Sequence[int], figures: Figures
) -> dict[int, tuple[str, Row]]:
    """By ratio, of those that have all folds there."""
    best = {}
    for ratio in ratios:
        valued = {
            (name, row): figures.cells[row, ratio].value(HEADLINE)
            for name, row in references
            if row.complete(ratio)
        }
        if known := {named: value for named, value in valued.items() if value is not None}:
            best[ratio] = max(known, key=known.__getitem__)
    return best


def above_references(
    name: str, row: Row, best: Mapping[int, tuple[str, Row]], figures: Figures
) -> dict[int, Figure]:
    """Where both were tested alike: a reference row may be of other draws."""
    if row.baseline:
        return {}
    found = {
        ratio: figures.gain(name, row, reference, ratio)
        for ratio, (_, reference) in best.items()
        if row.complete(ratio) and figures.cells[row, ratio].tested == figures.cells[reference, ratio].tested
    }
    return {ratio: gain[HEADLINE] for ratio, gain in found.items() if gain}
