"""Tables: which rows stand together, which are ranked, and which stand beneath as a reference."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cervbench.leaderboard.cells import Cell, ClassFigures, Figure, Gain, metrics_of
from cervbench.leaderboard.figures import Figures, RowAtRatio
from cervbench.leaderboard.gains import above_references, best_references, corrected, gains
from cervbench.leaderboard.row_names import differing, names
from cervbench.leaderboard.rows import PRETEXT, Contest, Row, StoredRecord, TableKey
from cervbench.markup.escaping import short
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
    others: Mapping[str, Figure]
    """At the table's largest ratio, metrics that cells lack; empty for a row that lacks folds there."""
    classes: Mapping[str, ClassFigures]
    """The same by class."""
    gains: Mapping[int, Gain]
    """By ratio, how far its headline stands above the same encoder without a pretext stage."""
    above_reference: Mapping[int, Gain]
    """The same above the best reference row there."""

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
    best_reference: Mapping[int, str]
    """By ratio, the name of the reference row with the highest headline."""
    best: Best
    """Without columns in which a single row has all folds: there it is better than nothing."""
    p_of_gains: Mapping[tuple[str, int], float]
    """By name and ratio, corrected for the rows at that ratio; empty where the table cannot be ranked."""
    p_above_reference: Mapping[tuple[str, int], float]
    """The same of how far they stand above the best reference row."""
    unrankable: str
    """Why no row is better than another; empty where the paired test decides."""
    older: bool
    """Other tables of its variant were made under newer training rules."""
    apart: tuple[str, ...] = ()
    """What else tells it from a table of the same title."""

    @property
    def sample(self) -> Record:
        return self.lines[0].row.sample

    @property
    def lines(self) -> tuple[Line, ...]:
        return self.ranked + self.references

    def records_at(self, ratio: int) -> list[StoredRecord]:
        """Of every line, all folds."""
        return [record for line in self.lines for record in line.row.records.get(ratio, {}).values()]

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
    off = ["off protocol"] if table.key.contest.off else []
    return " · ".join([record.evaluation.name, *model, record.run.protocol.tier, *rules, *off, *table.apart])


def tables(figures: Figures) -> list[Table]:
    """Every table that the rows of one variant make, in the order of the page."""
    contests: dict[Contest, list[Row]] = defaultdict(list)
    for row in figures.rows:
        contests[row.key.contest].append(row)
    newest = max((contest.rules for contest in contests), default=0)
    plans = [
        _Plan(key, *split, older=contest.rules < newest)
        for contest in sorted(contests, key=_order)
        for key, split in _split(contest, contests).items()
    ]
    in_full = list({at: None for plan in plans for at in plan.in_full})
    classes, others = figures.classes(in_full), figures.others(in_full)
    return _told_apart([_table(plan, others, classes, figures) for plan in plans])


def _told_apart(tables: Sequence[Table]) -> list[Table]:
    """To tables of one title is added in what they differ."""
    traits_of: dict[str, list[dict[str, str]]] = defaultdict(list)
    for table in tables:
        traits_of[title(table)].append(_traits(table))
    told = []
    for table in tables:
        apart, own = differing(traits_of[title(table)]), _traits(table)
        telling = tuple(f"{name} {short(own[name])}" for name in own if name in apart)
        told.append(replace(table, apart=telling))
    return told


def _traits(table: Table) -> dict[str, str]:
    """What tables of one title may differ in."""
    contest, evaluation = table.key.contest, table.sample.evaluation
    return {
        "protocol": f"v{contest.version}",
        "folds": contest.manifest,
        "off": ", ".join(contest.off),
        "init": table.key.init,
        "task": contest.task,
        "of": evaluation.package,
        "revision": str(evaluation.revision),
        "schema": evaluation.schema_,
    } | {name: json.dumps(value) for name, value in sorted(evaluation.settings.items())}


@dataclass(frozen=True)
class _Plan:
    """The rows of a table to be."""

    key: TableKey
    ranked: list[Row]
    references: list[Row]
    older: bool

    @property
    def ratios(self) -> tuple[int, ...]:
        """Of the rows of its own contest: what stands with them may have more."""
        own = [row for row in self.ranked + self.references if row.key.contest == self.key.contest]
        return tuple(sorted({ratio for row in own for ratio in row.records}))

    @property
    def in_full(self) -> list[RowAtRatio]:
        """Where every metric is shown, and recall class by class."""
        last = self.ratios[-1]
        return [(row, last) for row in self.ranked + self.references if row.complete(last)]


def _order(contest: Contest) -> tuple[bool, int, int, Contest]:
    """The largest tier first, and of a tier what was made under the newest rules."""
    tiers = TIERS[::-1]
    place = tiers.index(contest.tier) if contest.tier in tiers else len(tiers)
    return bool(contest.off), place, -contest.rules, contest


def _split(
    contest: Contest, contests: Mapping[Contest, Sequence[Row]]
) -> dict[TableKey, tuple[list[Row], list[Row]]]:
    """Ranked and reference rows of each table of a contest.

    A baseline stands beneath every table whose reader would ask for it: hand-made features and
    ImageNet's beneath all, an untrained encoder beneath the tables of its backbone. Those of the protocol
    stand with rows of another budget too, for they spend none.
    """
    own = contests[contest]
    keys = sorted({row.key for row in own if row.ranked})
    keys += sorted({row.key for row in own if row.baseline and not any(_fits(row, key) for key in keys)})
    rows = [*own, *_without_budget(contest, contests)]

    def contends(row: Row, key: TableKey) -> bool:
        return row.ranked and row.start == (key.backbone, key.init)

    return {
        key: (
            [row for row in rows if contends(row, key)],
            [row for row in rows if row.baseline and _fits(row, key) and not contends(row, key)],
        )
        for key in keys
    }


def _without_budget(contest: Contest, contests: Mapping[Contest, Sequence[Row]]) -> list[Row]:
    if PRETEXT not in contest.off:
        return []
    alike = contest._replace(off=tuple(change for change in contest.off if change != PRETEXT))
    return [row for row in contests.get(alike, ()) if row.baseline]


def _fits(row: Row, key: TableKey) -> bool:
    return row.key.backbone in (NO_BACKBONE, key.backbone) or row.key.init == "imagenet"


def _table(
    plan: _Plan,
    others: Mapping[RowAtRatio, Mapping[str, Figure]],
    classes: Mapping[RowAtRatio, Mapping[str, ClassFigures]],
    figures: Figures,
) -> Table:
    ranked, ratios = plan.ranked, plan.ratios
    named = [
        *zip(names(ranked), ranked, strict=True),
        *zip(names(plan.references, True), plan.references, strict=True),
    ]
    best_reference = best_references(named[len(ranked) :], ratios, figures)
    lines = [
        Line(
            name,
            row,
            {ratio: figures.cells[row, ratio] for ratio in ratios if ratio in row.records},
            others.get((row, ratios[-1]), {}),
            classes.get((row, ratios[-1]), {}),
            gains(name, row, plan.ranked + plan.references, figures),
            above_references(name, row, best_reference, figures),
        )
        for name, row in named
    ]
    best: dict[tuple[str, int], frozenset[str]] = {}
    for ratio in ratios:
        whole = {name: row for name, row in named[: len(ranked)] if row.complete(ratio)}
        if len(whole) > 1:
            for metric, bold in figures.best(whole, ratio).items():
                best[metric, ratio] = bold
    unrankable = _unrankable(lines)
    contenders, beneath = (sorted(some, key=_name) for some in (lines[: len(ranked)], lines[len(ranked) :]))
    return Table(
        key=plan.key,
        ratios=ratios,
        ranked=tuple(contenders if unrankable else _best_first(contenders)),
        references=tuple(beneath),
        best_reference={ratio: name for ratio, (name, _) in best_reference.items()},
        best={} if unrankable else best,
        p_of_gains={} if unrankable else corrected({line.name: line.gains for line in lines}),
        p_above_reference={}
        if unrankable
        else corrected({line.name: line.above_reference for line in lines}),
        unrankable=unrankable,
        older=plan.older,
    )


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
        if line.row.tests_seen:
            return "the weights it begins from had been trained on images that are tested here"
        for cell in line.cells.values():
            if cell.fewest_groups < 2:
                return "some fold tests a single group, which leaves nothing to compare"
            for name, count in cell.fewest.items():
                if count < FEWEST_TEST_IMAGES:
                    return f"some fold tests {count} images of class {name}, fewer than {FEWEST_TEST_IMAGES}"
    return ""
