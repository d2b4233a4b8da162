"""Tables: which rows stand together, which are ranked, and which stand beneath as a reference."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cervbench.leaderboard.cells import Cell, ClassFigures, metrics_of
from cervbench.leaderboard.figures import At, Figures
from cervbench.leaderboard.rows import TIERS, Contest, Row, TableKey, names
from cervbench.records.record import Record, digest
from cervbench.scoring.classification import HEADLINE

FEWEST_TEST_IMAGES = 5
Best = Mapping[tuple[str, int], frozenset[str]]
"""Names to print bold, by metric and ratio."""


@dataclass(frozen=True)
class Line:
    """A row as it is shown."""

    name: str
    row: Row
    cells: Mapping[int, Cell]
    """By ratio; a ratio without records is not in it."""
    classes: Mapping[str, ClassFigures]
    """At the table's largest ratio, by class; empty for a row that lacks folds there."""


@dataclass(frozen=True)
class Table:
    """One variant, tier, backbone, init and evaluation."""

    key: TableKey
    ratios: tuple[int, ...]
    ranked: tuple[Line, ...]
    """The best first, where the table can be ranked."""
    references: tuple[Line, ...]
    best: Best
    unrankable: str
    """Why no row is better than another; empty where the paired test decides."""

    @property
    def sample(self) -> Record:
        return self.lines[0].row.sample

    @property
    def lines(self) -> tuple[Line, ...]:
        return self.ranked + self.references

    @property
    def metrics(self) -> tuple[str, ...]:
        return metrics_of(self.sample.task)

    @property
    def digest(self) -> str:
        """Tells tables of one variant apart in links and file names."""
        return digest({"table": [list(self.key.contest), self.key.backbone, self.key.init]})[:8]


def title(table: Table) -> str:
    """What tells a table from the others of its variant, in words."""
    record = table.sample
    model = [] if table.key.backbone == "none" else [f"{table.key.backbone}, {table.key.init[:16]} init"]
    off = ["off protocol"] if record.run.protocol.off else []
    return " · ".join([record.evaluation.name, *model, record.run.protocol.tier, *off])


def tables(rows: Sequence[Row], figures: Figures) -> list[Table]:
    """Every table that the rows of one variant make, in the order of the page."""
    contests: dict[Contest, list[Row]] = defaultdict(list)
    for row in rows:
        contests[row.key.contest].append(row)
    plans = [
        _Plan(key, *split)
        for contest in sorted(contests, key=_order)
        for key, split in _split(contests[contest]).items()
    ]
    cells = figures.cells([(row, ratio) for row in rows for ratio in row.entries])
    classes = figures.classes(list({at: None for plan in plans for at in plan.with_classes}))
    return [_table(plan, cells, classes, figures) for plan in plans]


@dataclass(frozen=True)
class _Plan:
    """The rows of a table to be."""

    key: TableKey
    ranked: list[Row]
    references: list[Row]

    @property
    def ratios(self) -> tuple[int, ...]:
        return tuple(sorted({ratio for row in self.ranked + self.references for ratio in row.entries}))

    @property
    def with_classes(self) -> list[At]:
        """Where recall is shown class by class."""
        last = self.ratios[-1]
        return [(row, last) for row in self.ranked + self.references if row.complete(last)]


def _order(contest: Contest) -> tuple[bool, int, Contest]:
    place = TIERS.index(contest.tier) if contest.tier in TIERS else len(TIERS)
    return bool(contest.off), place, contest


def _split(rows: Sequence[Row]) -> dict[TableKey, tuple[list[Row], list[Row]]]:
    """Ranked and reference rows of each table of a contest.

    A baseline stands beneath every table whose reader would ask for it: hand-made features and
    ImageNet's beneath all, an untrained encoder beneath the tables of its backbone.
    """
    keys = sorted({row.key for row in rows if row.ranked})
    baselines = [row for row in rows if row.baseline]
    keys += sorted({row.key for row in baselines if not any(_fits(row, key) for key in keys)})
    return {
        key: (
            [row for row in rows if row.ranked and row.key == key],
            [row for row in baselines if _fits(row, key) and not (row.ranked and row.key == key)],
        )
        for key in keys
    }


def _fits(row: Row, key: TableKey) -> bool:
    return row.key.backbone in ("none", key.backbone) or row.key.init == "imagenet"


def _table(
    plan: _Plan,
    cells: Mapping[At, Cell],
    classes: Mapping[At, Mapping[str, ClassFigures]],
    figures: Figures,
) -> Table:
    ranked, ratios = plan.ranked, plan.ratios
    named = [
        *zip(names(ranked), ranked, strict=True),
        *zip(names(plan.references, True), plan.references, strict=True),
    ]
    lines = [
        Line(
            name,
            row,
            {ratio: cells[row, ratio] for ratio in ratios if ratio in row.entries},
            classes.get((row, ratios[-1]), {}),
        )
        for name, row in named
    ]
    best: dict[tuple[str, int], frozenset[str]] = {}
    for ratio in ratios:
        whole = {name: row for name, row in named[: len(ranked)] if row.complete(ratio)}
        for metric, bold in figures.best(whole, ratio, cells).items():
            best[metric, ratio] = bold
    unrankable = _unrankable(lines)
    contenders, beneath = lines[: len(ranked)], sorted(lines[len(ranked) :], key=_name)
    contenders = sorted(contenders, key=_name) if unrankable else sorted(contenders, key=_standing)
    return Table(plan.key, ratios, tuple(contenders), tuple(beneath), {} if unrankable else best, unrankable)


def _name(line: Line) -> str:
    return line.name


def _standing(line: Line) -> tuple[bool, float, str]:
    """The best mean over its ratios first, incomplete rows last."""
    values = [cell.value(HEADLINE) for cell in line.cells.values()]
    known = [value for value in values if value is not None]
    whole = all(line.row.complete(ratio) for ratio in line.cells)
    return not whole, -sum(known) / len(known) if known else 0.0, line.name


def _unrankable(lines: Sequence[Line]) -> str:
    if not any(line.row.ranked for line in lines):
        return "there are reference rows only"
    if not lines[0].row.task.groups_known:
        return "which images depend on each other is not known, so there is no paired test"
    for line in lines:
        for cell in line.cells.values():
            if cell.fewest_groups < 2:
                return "some fold tests a single group, which leaves nothing to compare"
            for name, count in cell.fewest.items():
                if count < FEWEST_TEST_IMAGES:
                    return f"some fold tests {count} images of class {name}, fewer than {FEWEST_TEST_IMAGES}"
    return ""
