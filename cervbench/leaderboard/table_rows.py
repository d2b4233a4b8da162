"""Which rows stand together in a table, and which of them are ranked or stand beneath as a reference."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cervbench.leaderboard.figures import RowAtRatio
from cervbench.leaderboard.rows import PRETEXT_BUDGET, Contest, Row, TableKey
from cervbench.protocol.protocol import TIERS
from cervbench.records.record import NO_BACKBONE


@dataclass(frozen=True)
class TableRows:
    """The rows of one table."""

    key: TableKey
    ranked: list[Row]
    references: list[Row]
    older: str
    """In words, if other tables of its variant were made by a newer protocol or newer training rules."""

    @property
    def all(self) -> list[Row]:
        return self.ranked + self.references

    @property
    def cells(self) -> set[tuple[str, int]]:
        """Method and ratio of each."""
        return {(row.method, ratio) for row in self.all for ratio in self.ratios if ratio in row.records}

    @property
    def ratios(self) -> tuple[int, ...]:
        """Those of its own contest and seeds; reference rows from elsewhere may have more."""
        own = [row for row in self.all if row.key.contest == self.key.contest and row.seeds == row.among]
        return tuple(sorted({ratio for row in own or self.all for ratio in row.records}))

    @property
    def in_full(self) -> list[RowAtRatio]:
        """Rows of which the page shows all metrics and recall by class: those with all folds there."""
        last = self.ratios[-1]
        return [(row, last) for row in self.all if row.complete(last)]


def by_table(rows: Sequence[Row]) -> list[TableRows]:
    """The rows of each table of one variant, in the order of its page."""
    contests: dict[Contest, list[Row]] = defaultdict(list)
    for row in rows:
        contests[row.key.contest].append(row)
    newest = max(((contest.version, contest.rules) for contest in contests), default=(0, 0))
    made = [
        TableRows(key, ranked, references, _older(contest, *newest))
        for contest in contests
        for key, (ranked, references) in _split(contest, contests).items()
    ]
    made.sort(key=_order)
    return [
        table
        for table in made
        if not (_surpassed(table, made) or (not table.ranked and _stands_elsewhere(table, made)))
    ]


def _older(contest: Contest, version: int, rules: int) -> str:
    if contest.version < version:
        return f"older protocol (v{contest.version})"
    return f"older training rules ({contest.rules})" if contest.rules < rules else ""


def _surpassed(table: TableRows, made: Sequence[TableRows]) -> bool:
    """Whether a table over more seeds has each of its rows, at each of its ratios."""
    seeds = set(table.key.contest.seeds)
    return any(
        set(other.key.contest.seeds) > seeds
        and other.key.of_any_seed == table.key.of_any_seed
        and other.cells >= table.cells
        for other in made
    )


def _stands_elsewhere(table: TableRows, made: Sequence[TableRows]) -> bool:
    """Whether each of its rows stands, at all of its ratios, in a table with ranked rows or more rows."""
    larger = [
        other
        for other in made
        if (other.ranked or len(other.all) > len(table.all)) and set(table.ratios) <= set(other.ratios)
    ]
    methods = [{row.method for row in other.all} for other in larger]
    return all(any(row.method in own for own in methods) for row in table.all)


def _order(table: TableRows) -> tuple[object, ...]:
    """The largest tier comes first, and within a tier what was made by the newest protocol and rules.

    Tables that differ in the seeds alone stand together, that over the fewest first: it has the most rows.
    """
    tiers, contest = TIERS[::-1], table.key.contest
    rank = tiers.index(contest.tier) if contest.tier in tiers else len(tiers)
    of_any_seed, *start = table.key.of_any_seed
    first = bool(contest.off), rank, -contest.version, -contest.rules, of_any_seed
    return *first, not table.ranked, start, len(contest.seeds), contest.seeds


def _split(
    contest: Contest, contests: Mapping[Contest, Sequence[Row]]
) -> dict[TableKey, tuple[list[Row], list[Row]]]:
    """The ranked and the reference rows of each table of a contest.

    A baseline stands beneath every table whose reader would ask for it: hand-made and ImageNet features
    beneath all, an untrained encoder beneath the tables of its backbone, and what began from a file, which
    may have seen images that are tested, beneath those that began from it. Where the budget of the pretext
    stages was changed, the protocol's own baselines stand there too, since they spend none of it.
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
    """The baselines of the contest that differs in the budget of the pretext stages alone."""
    if PRETEXT_BUDGET not in contest.off:
        return []
    alike = contest._replace(off=tuple(change for change in contest.off if change != PRETEXT_BUDGET))
    return [row for row in contests.get(alike, ()) if row.baseline]


def _fits(row: Row, key: TableKey) -> bool:
    if row.key.init == "imagenet":
        return True
    return row.key.backbone in (NO_BACKBONE, key.backbone) and row.key.init in ("random", key.init)
