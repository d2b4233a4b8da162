"""How far one row of a table is above another, paired, at every ratio that both have."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, product
from pathlib import Path
from statistics import fmean
from typing import Any

from cervbench.error import UsageError
from cervbench.leaderboard.cache import Cache
from cervbench.leaderboard.cells import AUC
from cervbench.leaderboard.figures import Figures
from cervbench.leaderboard.rows import Row, TableKey
from cervbench.leaderboard.tables import Line, Table, title
from cervbench.leaderboard.variants import Variant, variants
from cervbench.plugin.settings import nearest
from cervbench.records.store import Store
from cervbench.scoring.classification import HEADLINE, classification
from cervbench.scoring.comparison import Difference


class ComparisonError(UsageError, LookupError):
    """No table has both rows, or no page the metric; the message says what there is."""


@dataclass(frozen=True)
class Compared:
    """One row less another, at one ratio of one table; all figures are shares, and not per cent."""

    variant: str
    table: str
    one: str
    other: str
    metric: str
    ratio: int
    gain: Difference
    """On predictions pooled over folds, as on pages; without a value where `why_not` says why."""
    seeds: tuple[int, ...]
    draws: int
    """Of labels. Below 100 % a single one says nothing of other labels."""
    groups: int
    by_fold: tuple[float | None, ...] = ()
    """The difference of each fold alone; None where one of the two lacks the fold."""
    why_not: str = ""

    @property
    def mean_of_folds(self) -> float | None:
        """Not the same as the pooled difference: recalls are taken in each fold, and then their mean."""
        known = [difference for difference in self.by_fold if difference is not None]
        return fmean(known) if known else None

    def flat(self) -> dict[str, Any]:
        """As one object of plain values."""
        nested = ("gain", "by_fold", "seeds")
        fields = {name: value for name, value in asdict(self).items() if name not in nested}
        return fields | {
            "difference": self.gain.value,
            "low": self.gain.low,
            "high": self.gain.high,
            "p": self.gain.p,
            "mean_of_folds": self.mean_of_folds,
            "by_fold": list(self.by_fold),
            "seeds": list(self.seeds),
        }


def compare_rows(
    out: Path, one: str, other: str, cache: Path, metric: str = HEADLINE, everything: bool = False
) -> list[Compared]:
    """In the tables of the pages of `out` that have both rows; ComparisonError if there is none.

    Of tables that differ in the seeds alone, only in that of all the seeds that both have at a ratio.
    A row is called as on its page. A method's name that is no row of a table stands for all its rows there.
    """
    if metric not in (HEADLINE, AUC):
        raise ComparisonError(f"rows are compared by {HEADLINE} or {AUC}, and not by {metric}")
    store, found = Store(out), list[Compared]()
    with Cache(cache) as kept:
        shown = list(variants(store, store.paths(), kept, everything))
        for variant in shown:
            found += _of_variant(variant, one, other, metric, store)
    if not found:
        lines = [line for variant in shown for table in variant.tables for line in table.lines]
        some = any(variant.left_out for variant in shown) and not everything
        hidden = " Rows off protocol and of the smoke tier are left out (--all)." if some else ""
        rows = {name for line in lines for name in _names(line)}
        raise ComparisonError(_told(one, other, metric, out, rows) + hidden)
    return found


def _of_variant(variant: Variant, one: str, other: str, metric: str, store: Store) -> Iterator[Compared]:
    """Of tables that differ in the seeds alone, at each ratio what the one over most of them tells."""
    alike: dict[TableKey, list[Table]] = defaultdict(list)
    for table in variant.tables:
        if metric in table.metrics:
            alike[table.key.of_any_seed].append(table)
    for tables in alike.values():
        tables.sort(key=lambda table: -len(table.key.contest.seeds))
        for pair in _pairs(_called(tables, one), _called(tables, other)):
            told = set[int]()
            for table in tables:
                lines = {line.row.method: line for line in table.lines if line.row.method in pair}
                if len(lines) == len(pair):
                    ours, theirs = (lines[method] for method in pair)
                    found = _of_table(variant.name, table, ours, theirs, metric, variant.figures, store)
                    new = [compared for compared in found if compared.ratio not in told]
                    told.update(compared.ratio for compared in new)
                    yield from new


def _pairs(ours: Sequence[str], theirs: Sequence[str]) -> list[tuple[str, str]]:
    if ours == theirs:  # the rows of one method, each pair once
        return list(combinations(ours, 2))
    return [pair for pair in product(ours, theirs) if pair[0] != pair[1]]


def _called(tables: Sequence[Table], name: str) -> list[str]:
    """The `method` of the row of this name or, if there is none, of those of the method of this name."""
    lines = [line for table in tables for line in table.lines]
    exactly = [line.row.method for line in lines if line.name == name]
    return list(dict.fromkeys(exactly or [line.row.method for line in lines if name in _names(line)]))


def _of_table(
    variant: str, table: Table, one: Line, other: Line, metric: str, figures: Figures, store: Store
) -> Iterator[Compared]:
    what = variant, title(table), one.name, other.name, metric
    for ratio in sorted(one.cells.keys() & other.cells.keys()):
        cell = one.cells[ratio]
        conditions = table.key.contest.seeds, cell.draws, cell.groups
        if why_not := _why_not(table, one, other, ratio):
            yield Compared(*what, ratio, Difference(), *conditions, why_not=why_not)
            continue
        ours, theirs = (_scores(line.row, ratio, metric, store) for line in (one, other))
        by_fold = tuple(_apart(ours.get(fold), theirs.get(fold)) for fold in range(one.row.folds))
        incomplete = [line for line in (one, other) if not line.row.complete(ratio)]
        if lacking := "; ".join(_lacking(line, ratio) for line in incomplete):
            yield Compared(*what, ratio, Difference(), *conditions, by_fold, lacking)
            continue
        gains = figures.above(one.name, one.row, {ratio: other.row}, [metric])
        gain = gains[metric].get(ratio, Difference())
        undefined = "" if gain.value is not None else f"{metric} is undefined for some group, draw or seed"
        yield Compared(*what, ratio, gain, *conditions, by_fold, undefined)


def _why_not(table: Table, one: Line, other: Line, ratio: int) -> str:
    """Why the paired test cannot be made at this ratio; empty if it can."""
    if table.unrankable:
        return table.unrankable
    whole = one.row.complete(ratio) and other.row.complete(ratio)
    if whole and one.cells[ratio].tested != other.cells[ratio].tested:
        return "they were tested on other images or label draws"
    return ""


def _lacking(line: Line, ratio: int) -> str:
    lacking = sorted(set(range(line.row.folds)) - set(line.row.records[ratio]))
    return f"{line.name} lacks fold{'s' * (len(lacking) > 1)} {', '.join(map(str, lacking))}"


def _apart(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or theirs is None else ours - theirs


def _scores(row: Row, ratio: int, metric: str, store: Store) -> dict[int, float | None]:
    """By fold, the metric of that fold alone, from its predictions: the mean over seeds."""
    variant, found = row.sample.run.dataset.variant, dict[int, float | None]()
    for fold, of_seeds in row.records[ratio].items():
        columns = [store.columns(variant, entry.id, entry.predictions) for entry in of_seeds]
        scores = [classification(own, row.task)[metric] for own in columns]
        known = [score for score in scores if score is not None]
        found[fold] = fmean(known) if len(known) == len(scores) else None
    return found


def _names(line: Line) -> set[str]:
    """What a row may be called: as on its page, there without settings, or by the name that `run` takes."""
    return {line.name, line.name.split(" (")[0], line.row.sample.run.method.name}


def _told(one: str, other: str, metric: str, out: Path, rows: set[str]) -> str:
    if not rows:
        return f"{out} has no records to compare: run something with --out {out} first."
    for name in (one, other):
        if name not in rows:
            meant = nearest(name, [*rows])
            hint = f"did you mean {meant}?" if meant else f"there are {', '.join(sorted(rows))}."
            return f"no table of {out} has a row called {name}: {hint}"
    if one == other:
        return f"a row is not compared with itself: no table of {out}, with {metric}, has two rows of {one}."
    return (
        f"no table of {out} has two rows {one} and {other}, and {metric}: rows of two tables, as of two "
        "backbones or of other seeds, are not compared."
    )
