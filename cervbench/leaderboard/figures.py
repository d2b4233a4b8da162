"""The figures of the rows of a page: taken from the cache, or computed now."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cervbench.leaderboard.cache import Cache, in_batches, key_of
from cervbench.leaderboard.cells import Cell, Details, Replicates, Source, computed, metrics_of, pooled_from
from cervbench.leaderboard.rows import Row
from cervbench.leaderboard.workers import ALONE, Workers
from cervbench.records.store import RecordError, Store
from cervbench.scoring.comparison import Difference, best_of, compare, refuse_unpaired

RowAtRatio = tuple[Row, int]

_KEPT_AT_ONCE = 200


@dataclass
class Figures:
    """The figures of rows that are shown together; each is computed once, and cached by its predictions."""

    rows: Sequence[Row]
    store: Store
    cache: Cache
    workers: Workers = ALONE

    @cached_property
    def cells(self) -> dict[RowAtRatio, Cell]:
        """Of every row at every ratio that it has."""
        wanted = [(row, ratio) for row in self.rows for ratio in row.records]
        return {at: Cell.from_json(kept) for at, kept in self._of("cell", wanted)}

    def details(self, wanted: Sequence[RowAtRatio]) -> dict[RowAtRatio, Details]:
        _ = self.cells  # computed first, and most details with them
        return {at: Details.from_json(kept) for at, kept in self._of("details", wanted)}

    def best(self, rows: Mapping[str, Row], ratio: int) -> dict[str, frozenset[str]]:
        """By metric, the names of the best row and of all rows that the paired test cannot tell from it."""
        wanted = [(row, ratio) for row in rows.values()]
        if not self._testable(wanted):
            return {}
        described = [key_of("best", *_described(at)).hex() for at in wanted]
        metrics = metrics_of(wanted[0][0].task)
        keys = {metric: key_of("best", metric, described) for metric in metrics}
        known = self.cache.known(list(keys.values()))
        if len(known) < len(keys):
            known = self._best(list(rows), wanted, keys)
            self.cache.keep(known)
        names = list(rows)
        return {metric: frozenset(names[index] for index in known[keys[metric]]) for metric in metrics}

    def above(
        self, name: str, row: Row, bases: Mapping[int, Row], metrics: Sequence[str]
    ) -> dict[str, dict[int, Difference]]:
        """By metric and ratio, how far a row is above its base there, if the two can be tested by pairs."""
        pairs = {ratio: [(row, ratio), (base, ratio)] for ratio, base in bases.items()}
        keys = {
            (metric, ratio): key_of("gain", metric, [_described(at) for at in pair])
            for ratio, pair in pairs.items()
            if self._testable(pair)
            for metric in metrics
        }
        known, new = self.cache.known(list(keys.values())), {}
        for ratio in dict.fromkeys(ratio for (_, ratio), own in keys.items() if own not in known):
            self._refuse_unpaired([name, "what it is compared with"], pairs[ratio])
            ours, theirs = self.replicates(pairs[ratio])
            for metric in metrics:
                new[keys[metric, ratio]] = compare(ours.values[metric], theirs.values[metric], ours.folds)
        self.cache.keep(new)
        known |= new
        found: dict[str, dict[int, Difference]] = {metric: {} for metric in metrics}
        for (metric, ratio), own in keys.items():
            found[metric][ratio] = Difference(*known[own])
        return found

    def replicates(self, wanted: Sequence[RowAtRatio]) -> list[Replicates]:
        """The metrics of a cell, with each group left out in turn."""
        known = dict(self._of("replicates", wanted))
        return [Replicates.from_json(known[at]) for at in wanted]

    def _testable(self, wanted: Sequence[RowAtRatio]) -> bool:
        """Whether the paired test can be made: it leaves out one group at a time, and another must remain."""
        return all(at[0].task.groups_known and self.cells[at].fewest_groups > 1 for at in wanted)

    def _best(
        self, names: Sequence[str], wanted: Sequence[RowAtRatio], keys: Mapping[str, bytes]
    ) -> dict[bytes, list[int]]:
        self._refuse_unpaired(names, wanted)
        rows, found = self.replicates(wanted), {}
        for metric, own in keys.items():
            values = {str(index): row.values[metric] for index, row in enumerate(rows)}
            found[own] = sorted(map(int, best_of(values, rows[0].folds, metric)))
        return found

    def _refuse_unpaired(self, names: Sequence[str], wanted: Sequence[RowAtRatio]) -> None:
        """RecordError if rows were not tested alike. Only then are predictions read again, to say why."""
        first = self.cells[wanted[0]]
        assert len({row.seeds for row, _ in wanted if not row.seedless}) < 2, "tables are of the same seeds"
        for name, at in zip(names, wanted, strict=True):
            if self.cells[at].tested != first.tested:
                try:
                    refuse_unpaired(*(pooled_from(self.source(one)) for one in (wanted[0], at)))
                except ValueError as error:
                    raise RecordError(
                        f"{names[0]} and {name} at {at[1]} % cannot be compared: {error}"
                    ) from None

    def _of(self, kind: str, wanted: Sequence[RowAtRatio]) -> Iterator[tuple[RowAtRatio, Any]]:
        """The cached values first, then those that are computed now, which are added to the cache."""
        missing = []
        for some in in_batches(wanted, _KEPT_AT_ONCE):
            keys = [key_of(kind, *_described(at)) for at in some]
            known = self.cache.known(keys)
            for at, own in zip(some, keys, strict=True):
                if own in known:
                    yield at, known[own]
                else:
                    missing.append(at)
        sources = [self.source(at, kind == "details") for at in missing]
        records = sum(len(folds) for source in sources for folds in source.records)
        answers = self.workers.map(computed, sources, records)
        for done in in_batches(zip(missing, answers, strict=True), _KEPT_AT_ONCE):
            self.cache.keep(
                {key_of(name, *_described(at)): kept for at, found in done for name, kept in found.items()}
            )
            yield from ((at, found[kind]) for at, found in done)

    def source(self, at: RowAtRatio, in_full: bool = False) -> Source:
        """The largest ratio of a row is always computed in full, since the page will ask for it in full."""
        row, ratio = at
        by_fold = sorted(row.records[ratio].items())
        records = tuple(
            tuple((fold, of_seeds[place].id, of_seeds[place].predictions) for fold, of_seeds in by_fold)
            for place in range(len(row.seeds))
        )
        variant = row.sample.run.dataset.variant
        return Source(self.store.root, variant, row.task, records, in_full or ratio == max(row.records))


def _described(at: RowAtRatio) -> tuple[Any, ...]:
    """Everything that a figure of this row depends on, apart from the code."""
    row, ratio = at
    predictions = sorted(
        (fold, [record.predictions for record in of_seeds]) for fold, of_seeds in row.records[ratio].items()
    )
    return row.key.contest.task, predictions
