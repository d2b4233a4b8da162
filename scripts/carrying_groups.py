"""On how many groups the intervals of a leaderboard really rest.

    python scripts/carrying_groups.py leaderboards

A figure may hang on a few large groups, while its interval counts all of them alike: its degrees of freedom
are the number of groups less that of folds. Prints, for every row of every table at its largest ratio, the
share of the variance that the heaviest group holds; the effective number of groups (Kish: the square of the
sum of their variances over the sum of the squares, a third of the number where contributions are normal);
and by how much the interval would widen if the degrees of freedom were three times that number, less two.
"""

import numpy as np
from scipy.stats import t
from tables_of_pages import arguments, tables_of_pages

from cervbench.leaderboard.cells import Replicates
from cervbench.markup.text import grid
from cervbench.records.store import Store
from cervbench.scoring.intervals import LEVEL, estimate
from cervbench.scoring.tally import Floats


def variances(replicates: Replicates, metric: str) -> Floats:
    """What each group adds to the jackknife variance, stratified by fold."""
    left_out = replicates.values[metric][1 : 1 + len(replicates.folds)].mean(axis=(1, 2))
    added = np.zeros(len(left_out))
    for fold in np.unique(replicates.folds):
        own = replicates.folds == fold
        added[own] = (1 - 1 / own.sum()) * (left_out[own] - left_out[own].mean()) ** 2
    return added


def told(replicates: Replicates, metric: str) -> list[str]:
    found = estimate(replicates.values[metric], replicates.folds)
    added = variances(replicates, metric)
    if found is None or not added.sum():
        return ["", "", ""]
    effective = float(added.sum() ** 2 / (added**2).sum())
    freedom = min(found.freedom, max(3 * effective - 2, 1))
    wider = t.ppf((1 + LEVEL) / 2, freedom) / t.ppf((1 + LEVEL) / 2, found.freedom) - 1
    return [f"{100 * added.max() / added.sum():.0f} %", f"{effective:.0f}", f"{100 * wider:.0f} %"]


def main() -> None:
    asked = arguments(__doc__).parse_args()
    for what, table, figures in tables_of_pages(Store(asked.out), asked.metric):
        last = table.ratios[-1]
        lines = [line for line in table.lines if line.row.complete(last)]
        found = figures.replicates([(line.row, last) for line in lines])
        body = [[line.name, *told(own, asked.metric)] for line, own in zip(lines, found, strict=True)]
        header = [f"{asked.metric} at {last} %", "heaviest group", "effective groups", "wider by"]
        print(f"\n{what}\n\n{grid(header, body)}")


if __name__ == "__main__":
    main()
