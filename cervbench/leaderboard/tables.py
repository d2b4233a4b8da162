"""Tables: which rows stand together, which are ranked, and which stand beneath as a reference."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cervbench.leaderboard.cells import Cell, ClassFigures, Figure, metrics_of
from cervbench.leaderboard.figures import At, Figures
from cervbench.leaderboard.rows import Contest, Row, TableKey, names
from cervbench.protocol.protocol import TIERS
from cervbench.records.record import NO_BACKBONE, Record, digest
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
    gains: Mapping[int, Mapping[str, Figure]]
    """By ratio and metric, how far it stands above the same encoder without a pretext stage."""

    @property
    def whole(self) -> bool:
        """It has all folds wherever it has any."""
        return all(self.row.complete(ratio) for ratio in self.cells)


@dataclass(frozen=True)
class Table:
    """One variant, tier, backbone, init and evaluation, under one revision of the training rules."""

    key: TableKey
    ratios: tuple[int, ...]
    ranked: tuple[Line, ...]
    """The best first where the table can be ranked, else by name."""
    references: tuple[Line, ...]
    best: Best
    unrankable: str
    """Why no row is better than another; empty where the paired test decides."""
    older: bool
    """Other tables of its variant were made under newer training rules."""

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
    model = [] if table.key.backbone == NO_BACKBONE else [f"{table.key.backbone}, {table.key.init[:16]} init"]
    rules = [f"older training rules ({table.key.contest.rules})"] if table.older else []
    off = ["off protocol"] if record.run.protocol.off else []
    return " · ".join([record.evaluation.name, *model, record.run.protocol.tier, *rules, *off])


def tables(rows: Sequence[Row], figures: Figures) -> list[Table]:
    """Every table that the rows of one variant make, in the order of the page."""
    contests: dict[Contest, list[Row]] = defaultdict(list)
    for row in rows:
        contests[row.key.contest].append(row)
    newest = max((contest.rules for contest in contests), default=0)
    plans = [
        _Plan(key, *split, older=contest.rules < newest)
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
    older: bool

    @property
    def ratios(self) -> tuple[int, ...]:
        return tuple(sorted({ratio for row in self.ranked + self.references for ratio in row.entries}))

    @property
    def with_classes(self) -> list[At]:
        """Where recall is shown class by class."""
        last = self.ratios[-1]
        return [(row, last) for row in self.ranked + self.references if row.complete(last)]


def _order(contest: Contest) -> tuple[bool, int, int, Contest]:
    """The largest tier first, and of a tier what was made under the newest rules."""
    tiers = TIERS[::-1]
    place = tiers.index(contest.tier) if contest.tier in tiers else len(tiers)
    return bool(contest.off), place, -contest.rules, contest


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
    return row.key.backbone in (NO_BACKBONE, key.backbone) or row.key.init == "imagenet"


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
            _gains(name, row, plan, cells, figures),
        )
        for name, row in named
    ]
    best: dict[tuple[str, int], frozenset[str]] = {}
    for ratio in ratios:
        whole = {name: row for name, row in named[: len(ranked)] if row.complete(ratio)}
        for metric, bold in figures.best(whole, ratio, cells).items():
            best[metric, ratio] = bold
    unrankable = _unrankable(lines)
    contenders, beneath = (sorted(some, key=_name) for some in (lines[: len(ranked)], lines[len(ranked) :]))
    return Table(
        key=plan.key,
        ratios=ratios,
        ranked=tuple(contenders if unrankable else _best_first(contenders)),
        references=tuple(beneath),
        best={} if unrankable else best,
        unrankable=unrankable,
        older=plan.older,
    )


def _gains(
    name: str, row: Row, plan: _Plan, cells: Mapping[At, Cell], figures: Figures
) -> dict[int, dict[str, Figure]]:
    """Above the row of the same table and seed that nothing was pretrained for; where all folds are there."""
    if row.baseline:
        return {}
    bases = [
        base
        for base in plan.ranked + plan.references
        if base.baseline and base.key == row.key and base.sample.run.seed == row.sample.run.seed
    ]
    return {
        ratio: figures.gain(name, row, base, ratio, cells)
        for base in bases[:1]
        for ratio in plan.ratios
        if row.complete(ratio) and base.complete(ratio)
    }


def _name(line: Line) -> str:
    return line.name


def _best_first(lines: Sequence[Line]) -> list[Line]:
    """By the mean over the ratios that all whole rows have; as they come where there are none.

    Rows that lack folds stand last, as they come.
    """
    whole = [line for line in lines if line.whole]
    shared = sorted(set.intersection(*(set(line.cells) for line in whole))) if whole else []

    def total(line: Line) -> float:
        return sum(line.cells[ratio].value(HEADLINE) or 0.0 for ratio in shared)

    return sorted(whole, key=lambda line: -total(line)) + [line for line in lines if not line.whole]


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
