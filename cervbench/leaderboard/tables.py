"""The tables of a page: what they show of each row, in which order, what is bold, and their titles."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from cervbench.leaderboard.cells import Cell, Details, metrics_of
from cervbench.leaderboard.figures import Figures, RowAtRatio
from cervbench.leaderboard.gains import above_references, base_of, best_references, corrected, gains
from cervbench.leaderboard.row_names import NamedRow, differing, names
from cervbench.leaderboard.rows import Row, StoredRecord, TableKey
from cervbench.leaderboard.table_rows import TableRows
from cervbench.markup.escaping import short
from cervbench.plugin.catalog import CORE
from cervbench.records.record import NO_BACKBONE, Record, digest
from cervbench.scoring.classification import HEADLINE
from cervbench.scoring.comparison import Difference

FEWEST_TEST_IMAGES = 5
FIRST_SEED = (0,)
"""The seeds of a table whose title says nothing of them."""
Best = Mapping[tuple[str, int], frozenset[str]]
"""Names to print bold, by metric and ratio."""
PValues = Mapping[tuple[str, int], float]
"""By name and ratio, corrected for the rows at that ratio."""


@dataclass(frozen=True)
class Line:
    """A row as a table shows it."""

    name: str
    row: Row
    cells: Mapping[int, Cell]
    """By ratio; ratios without records are left out."""
    details: Details | None
    """At the table's largest ratio; None if folds are missing there."""
    base: str
    """The name of the row that is the same encoder without a pretext stage; empty if the table has none."""
    gains: Mapping[str, Mapping[int, Difference]]
    """By metric and ratio, how far it is above that row."""
    above_reference: Mapping[int, Difference]
    """By ratio, how far its headline is above the best reference row there."""

    @property
    def whole(self) -> bool:
        """It has all folds at each of its ratios."""
        return all(self.row.complete(ratio) for ratio in self.cells)


@dataclass(frozen=True)
class Table:
    """One variant, tier, backbone, init and evaluation, under one revision of the training rules."""

    key: TableKey
    ratios: tuple[int, ...]
    ranked: tuple[Line, ...]
    """The best first if the table can be ranked, otherwise by name."""
    references: tuple[Line, ...]
    best_reference: Mapping[int, str]
    """By ratio, the name of the reference row with the highest headline."""
    unrankable: str
    """Why the paired test cannot rank the rows; empty if it can."""
    older: str
    """In words, if other tables of its variant were made by a newer protocol or newer training rules."""
    best: Best
    """Empty if the table cannot be ranked, and so are the two below."""
    p_of_gains: Mapping[str, PValues]
    """Of gains, by metric."""
    p_above_reference: PValues
    """The same, of how far rows are above the best reference row."""
    apart: tuple[str, ...] = ()
    """What tells it from other tables that would have the same title."""

    @property
    def sample(self) -> Record:
        return self.lines[0].row.sample

    @property
    def lines(self) -> tuple[Line, ...]:
        return self.ranked + self.references

    @property
    def base(self) -> Line | None:
        """The row that began as the others and had no pretext stage."""
        start = self.key.backbone, self.key.init
        found = [one for one in self.lines if one.row.as_it_began and one.row.start == start]
        return max(found, key=lambda one: one.row.sample.run.method.revision, default=None)

    @property
    def images(self) -> int:
        """How many are tested, in the cell that has most."""
        return max(cell.images for line in self.lines for cell in line.cells.values())

    @property
    def groups(self) -> int:
        return max(cell.groups for line in self.lines for cell in line.cells.values())

    def records_at(self, ratio: int) -> list[StoredRecord]:
        """The records of all folds and seeds of all lines."""
        folds = [of_seeds for line in self.lines for of_seeds in line.row.records.get(ratio, {}).values()]
        return [record for of_seeds in folds for record in of_seeds]

    def over_more_seeds(self, tables: Sequence["Table"]) -> dict[str, list[Line]]:
        """By the digest of each of these tables over more seeds, the ranked rows that stand there too."""
        found: dict[str, list[Line]] = {}
        for table in tables:
            if self._is_part_of(table):
                there = {line.row.method: line.cells.keys() for line in table.ranked}
                own = [one for one in self.ranked if one.cells.keys() & there.get(one.row.method, {})]
                found |= {table.digest: own} if own else {}
        return found

    def lacks(self, tables: Sequence["Table"]) -> list[str]:
        """Reference rows that stand in these tables over some of its seeds, and not in itself."""
        own = {line.row.method for line in self.lines}
        others = [line for table in tables if table._is_part_of(self) for line in table.references]
        return sorted({line.name for line in others if line.row.method not in own})

    def _is_part_of(self, other: "Table") -> bool:
        """Whether they differ in the seeds alone, of which the other has more."""
        seeds = set(self.key.contest.seeds)
        return self.key.of_any_seed == other.key.of_any_seed and seeds < set(other.key.contest.seeds)

    @property
    def metrics(self) -> tuple[str, ...]:
        return metrics_of(self.sample.task)

    @property
    def digest(self) -> str:
        """A short name for links and files, unique among the tables of a variant."""
        *shared, seeds = self.key.contest
        contest = shared if seeds == FIRST_SEED else [*shared, seeds]  # so that links from elsewhere last
        return digest({"table": [contest, self.key.backbone, self.key.init]})[:8]


def title(table: Table) -> str:
    """What tells a table from the others of its variant, in words."""
    evaluation, tier = table.sample.evaluation, table.sample.run.protocol.tier
    by = evaluation.name if evaluation.package == CORE else f"{evaluation.name} of {evaluation.package}"
    model = [] if table.key.backbone == NO_BACKBONE else [f"{table.key.backbone}, {table.key.init[:16]} init"]
    off = ["off protocol"] if table.key.contest.off else []
    of = [seeds_of(table)] if table.key.contest.seeds != FIRST_SEED else []
    older = [table.older] if table.older else []
    return " · ".join([by, *model, tier, *of, *older, *off, *table.apart])


def seeds_of(table: Table) -> str:
    """`seeds 0, 1, 2`, in words."""
    seeds = table.key.contest.seeds
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def tables(parts: Sequence[TableRows], figures: Figures) -> list[Table]:
    """All tables of one variant, in the order of its page."""
    details = figures.details(list({at: None for rows in parts for at in rows.in_full}))
    return _told_apart([_table(rows, details, figures) for rows in parts])


def _told_apart(tables: Sequence[Table]) -> list[Table]:
    """Adds to the titles of tables that share one what they differ in."""
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
    """Everything in which tables of one title may differ."""
    contest, evaluation = table.key.contest, table.sample.evaluation
    return {
        "protocol": f"v{contest.version}",
        "folds": contest.manifest,
        "off": ", ".join(contest.off),
        "init": table.key.init,
        "task": contest.task,
        "revision": str(evaluation.revision),
        "schema": evaluation.schema_,
    } | {name: json.dumps(value) for name, value in sorted(evaluation.settings.items())}


def _table(rows: TableRows, details: Mapping[RowAtRatio, Details], figures: Figures) -> Table:
    ratios, last = rows.ratios, rows.ratios[-1]
    ranked = list(zip(names(rows.ranked), rows.ranked, strict=True))
    references = list(zip(names(rows.references, beneath=True), rows.references, strict=True))
    best_reference = best_references(references, ratios, figures)

    bases = {row: base_of(row, rows.all) for row in rows.all}
    called = {row: name for name, row in [*ranked, *references]}

    def lines(named: Sequence[NamedRow]) -> list[Line]:
        return [
            Line(
                name=name,
                row=row,
                base=called[base] if (base := bases[row]) else "",
                cells={ratio: figures.cells[row, ratio] for ratio in ratios if ratio in row.records},
                details=details.get((row, last)),
                gains=gains(name, row, base, metrics_of(row.task), figures) if base else {},
                above_reference=above_references(name, row, best_reference, figures),
            )
            for name, row in named
        ]

    by_name, beneath = (sorted(lines(named), key=attrgetter("name")) for named in (ranked, references))
    every = [*by_name, *beneath]
    best = _best(ranked, ratios, figures)  # needed of every table, since it refuses rows not tested alike
    unrankable = _unrankable(every)
    tested = [] if unrankable else every
    return Table(
        key=rows.key,
        ratios=ratios,
        ranked=tuple(_best_first(by_name) if tested else by_name),
        references=tuple(beneath),
        best_reference={ratio: name for ratio, (name, _) in best_reference.items()},
        unrankable=unrankable,
        older=rows.older,
        best=best if tested else {},
        p_of_gains={
            metric: corrected({line.name: line.gains.get(metric, {}) for line in tested})
            for metric in metrics_of(rows.all[0].task)
        },
        p_above_reference=corrected({line.name: line.above_reference for line in tested}),
    )


def _best(ranked: Sequence[NamedRow], ratios: Sequence[int], figures: Figures) -> Best:
    """Leaves out columns in which a single row has all folds: there is nothing it could be better than."""
    best: dict[tuple[str, int], frozenset[str]] = {}
    for ratio in ratios:
        whole = {name: row for name, row in ranked if row.complete(ratio)}
        if len(whole) > 1:
            best |= {(metric, ratio): bold for metric, bold in figures.best(whole, ratio).items()}
    return best


def _best_first(lines: Sequence[Line]) -> list[Line]:
    """By the mean headline over the ratios that all whole rows have, or in the given order if there are none.

    Rows that lack folds come last, in the given order.
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
