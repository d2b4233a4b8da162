"""Rows over several pretraining seeds, so that adding a seed makes a row surer, and not a second row."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TypeVar

from cervbench.leaderboard.rows import PRETEXT_BUDGET, Contest, Row
from cervbench.records.record import digest

_Of = TypeVar("_Of")


def over_seeds(rows: Sequence[Row]) -> list[Row]:
    """From rows of one seed each, those that tables show; a table holds rows of the same seeds.

    There is a table for all seeds that a method has, and for those that two methods share: so any two meet at
    all the seeds that both have, and nobody chooses among the seeds of one.
    """
    contests: dict[Contest, dict[str, dict[int, Row]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        contests[_of_any_seed(row.key.contest)][_method(row)][row.sample.run.seed] = row
    return [
        row
        for methods in contests.values()
        for seeds in _shared([frozenset(own) for own in methods.values()])
        for own in methods.values()
        if seeds <= own.keys()
        for row in _over([own[seed] for seed in sorted(seeds)])
    ]


def _of_any_seed(contest: Contest) -> Contest:
    """Also of any budget: the protocol's own baselines stand beneath methods that spent another."""
    return contest._replace(seeds=(), off=tuple(change for change in contest.off if change != PRETEXT_BUDGET))


def _method(row: Row) -> str:
    """A digest that rows share if they differ only in the seed."""
    run = row.sample.run.model_dump(mode="json", exclude={"fold", "seed"})
    return digest({"run": run, "contest": list(row.key.contest._replace(seeds=()))})


def _shared(seeds: Iterable[frozenset[int]]) -> list[frozenset[int]]:
    own = set(seeds)
    return sorted((own | {one & other for one, other in combinations(own, 2)}) - {frozenset()}, key=sorted)


def _over(rows: Sequence[Row]) -> Iterator[Row]:
    """One row for these; of each ratio the folds that all of them have, and none if there is no such fold."""
    if len(rows) == 1:
        yield from rows
        return
    records = {ratio: _in_all([row.records.get(ratio, {}) for row in rows]) for ratio in rows[0].records}
    if records := {ratio: folds for ratio, folds in records.items() if folds}:
        yield Row(
            sample=rows[0].sample,
            seeds=tuple(row.sample.run.seed for row in rows),
            records=records,
            observed=_in_all([row.observed for row in rows]),
            devices={device for row in rows for device in row.devices},
        )


def _in_all(by_fold: Sequence[Mapping[int, tuple[_Of, ...]]]) -> dict[int, tuple[_Of, ...]]:
    folds = sorted(set.intersection(*map(set, by_fold)))
    return {fold: tuple(one for own in by_fold for one in own[fold]) for fold in folds}
