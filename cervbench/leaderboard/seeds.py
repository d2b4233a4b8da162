"""Which pretraining seeds stand together in a table: rows over several seeds, from rows of one seed each."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from cervbench.leaderboard.rows import PRETEXT_BUDGET, Contest, Row, StoredRecord

BySeed = Mapping[int, Row]
"""The rows of one method under one evaluation."""


def over_seeds(rows: Sequence[Row]) -> list[Row]:
    """The rows that tables are made of: of every method, for every set of seeds that a table may hold.

    These sets are what some method has at a ratio, and what two of them share there: so any two methods meet
    at all the seeds that both have.
    """
    contests: dict[Contest, dict[str, dict[int, Row]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        contests[_of_any_seed(row.key.contest)][row.method][row.sample.run.seed] = row
    return [
        row
        for methods in contests.values()
        for seeds in _sets([*methods.values()])
        for by_seed in methods.values()
        for row in _over(by_seed, seeds)
    ]


def _of_any_seed(contest: Contest) -> Contest:
    """Also of any budget: the protocol's own baselines stand beneath methods that spent another."""
    return contest._replace(seeds=(), off=tuple(change for change in contest.off if change != PRETEXT_BUDGET))


def _sets(methods: Sequence[BySeed]) -> list[tuple[int, ...]]:
    """What does not depend on seeds stands beneath tables of any, and makes tables only where it is alone."""
    seeded = [by_seed for by_seed in methods if not _seedless(by_seed)] or methods
    own = {seeds for by_seed in seeded for seeds in _shown(by_seed).values()}
    shared = own | {one & other for one, other in combinations(own, 2)}
    return sorted(tuple(sorted(seeds)) for seeds in shared if seeds)


def _seedless(by_seed: BySeed) -> bool:
    return all(row.seedless for row in by_seed.values())


def _shown(by_seed: BySeed) -> dict[int, frozenset[int]]:
    """By ratio, the seeds that have all folds there, or else the first that has any."""
    ratios = {ratio for row in by_seed.values() for ratio in row.records}
    shown = {}
    for ratio in sorted(ratios):
        begun = sorted(seed for seed, row in by_seed.items() if ratio in row.records)
        whole = [seed for seed in begun if by_seed[seed].complete(ratio)]
        shown[ratio] = frozenset(whole or begun[:1])
    return shown


def _over(by_seed: BySeed, seeds: tuple[int, ...]) -> Iterator[Row]:
    """One row over these seeds at the ratios that have them all, if there are any."""
    shown = _shown(by_seed)
    own = (min(by_seed),) if _seedless(by_seed) and not by_seed.keys() >= set(seeds) else seeds
    rows = [by_seed[seed] for seed in own if seed in by_seed]
    ratios = [ratio for ratio, complete in shown.items() if complete >= set(own)]
    records: dict[int, dict[int, tuple[StoredRecord, ...]]] = {
        ratio: {fold: sum((row.records[ratio][fold] for row in rows), ()) for fold in rows[0].records[ratio]}
        for ratio in ratios
    }
    folds = {fold for by_fold in records.values() for fold in by_fold}
    if records:
        yield Row(
            sample=rows[0].sample,
            seeds=own,
            among=seeds,
            records=records,
            observed={fold: sum((row.observed[fold] for row in rows), ()) for fold in sorted(folds)},
            devices={device for row in rows for device in row.devices},
        )
