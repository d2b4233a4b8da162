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
        contests[_of_any_seed_and_budget(row.key.contest)][row.method][row.sample.run.seed] = row
    return [
        row
        for methods in contests.values()
        for seeds in _sets([*methods.values()])
        for by_seed in methods.values()
        for row in _over(by_seed, seeds)
    ]


def _of_any_seed_and_budget(contest: Contest) -> Contest:
    """The protocol's own baselines stand beneath methods that spent another budget."""
    return contest._replace(seeds=(), off=tuple(change for change in contest.off if change != PRETEXT_BUDGET))


def _sets(methods: Sequence[BySeed]) -> list[tuple[int, ...]]:
    """What does not depend on seeds stands beneath tables of any, and makes tables only where it is alone."""
    seeded = [by_seed for by_seed in methods if not _seedless(by_seed)] or methods
    at_ratio: dict[int, set[frozenset[int]]] = defaultdict(set)
    for by_seed in seeded:
        for ratio, seeds in _shown(by_seed).items():
            at_ratio[ratio].add(seeds)
    own = {seeds for sets in at_ratio.values() for seeds in sets}
    shared = {one & other for sets in at_ratio.values() for one, other in combinations(sets, 2)}
    return sorted(tuple(sorted(seeds)) for seeds in own | shared if seeds)


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
    """One row over these seeds, at the ratios that have them all, if there are any."""
    shown, own = _shown(by_seed), seeds
    if _seedless(by_seed) and not all(found >= set(seeds) for found in shown.values()):
        own = (max(sorted(by_seed), key=lambda seed: sum(seed in found for found in shown.values())),)
    rows = [by_seed[seed] for seed in own if seed in by_seed]
    records: dict[int, dict[int, tuple[StoredRecord, ...]]] = {
        ratio: {fold: sum((row.records[ratio][fold] for row in rows), ()) for fold in rows[0].records[ratio]}
        for ratio, found in shown.items()
        if found >= set(own)
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
