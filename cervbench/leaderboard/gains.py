"""How far a row is above the same encoder without its pretext stage, and above the best reference row."""

from collections.abc import Mapping, Sequence

from cervbench.leaderboard.figures import Figures
from cervbench.leaderboard.row_names import NamedRow
from cervbench.leaderboard.rows import Row
from cervbench.scoring.classification import HEADLINE
from cervbench.scoring.comparison import Difference, holm


def base_of(row: Row, others: Sequence[Row]) -> Row | None:
    """The row that began alike and had no pretext stage, of the newest revision; None unless there is one."""
    if row.baseline:
        return None
    candidates = [
        base
        for base in others
        if base.as_it_began and base.start == row.start and _begins(base) == _begins(row)
    ]
    newest = max((_revision(base) for base in candidates), default=0)
    candidates = [base for base in candidates if _revision(base) == newest]
    return candidates[0] if len(candidates) == 1 else None


def gains(
    name: str, row: Row, base: Row, metrics: Sequence[str], figures: Figures
) -> dict[str, dict[int, Difference]]:
    """By metric and ratio, how far a row is above its base, where both have all folds."""
    bases = {ratio: base for ratio in sorted(row.records) if row.complete(ratio) and base.complete(ratio)}
    by_metric = figures.above(name, row, bases, metrics)
    return {metric: found for metric, found in by_metric.items() if found}


def _revision(row: Row) -> int:
    return row.sample.run.method.revision


def _begins(row: Row) -> tuple[object, ...]:
    """What a row began from, beyond its backbone and initialisation."""
    run = row.sample.run
    return run.backbone_revision, run.weights, run.dataset.pack


def best_references(
    references: Sequence[NamedRow], ratios: Sequence[int], figures: Figures
) -> dict[int, NamedRow]:
    """By ratio, the reference row with the highest headline, among those that have all folds there."""
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
    name: str, row: Row, best: Mapping[int, NamedRow], figures: Figures
) -> dict[int, Difference]:
    """By ratio, how far a row is above the best reference row, if both were tested alike.

    They may not have been: a reference row can have other draws.
    """
    if row.baseline:
        return {}
    cells = figures.cells
    bases = {
        ratio: reference
        for ratio, (_, reference) in best.items()
        if row.complete(ratio) and cells[row, ratio].tested == cells[reference, ratio].tested
    }
    return figures.above(name, row, bases, [HEADLINE])[HEADLINE]


def corrected(gains_of: Mapping[str, Mapping[int, Difference]]) -> dict[tuple[str, int], float]:
    """By name and ratio, the p-value of a gain, corrected (Holm) for the number of rows at that ratio."""
    found: dict[tuple[str, int], float] = {}
    for ratio in sorted({ratio for gains in gains_of.values() for ratio in gains}):
        column = {name: gains[ratio].p for name, gains in gains_of.items() if ratio in gains}
        p_values = {name: p for name, p in column.items() if p is not None}
        adjusted = holm(list(p_values.values()))
        found |= {(name, ratio): p for name, p in zip(p_values, adjusted, strict=True)}
    return found
