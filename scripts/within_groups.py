"""Whether a row tells images of one group apart, or only groups from each other.

    python scripts/within_groups.py leaderboards

Images of a group share a slide, a session or a field, and often a class. What knows groups by their stain or
light can then tell classes without having looked at a cell. For every row at its table's largest ratio, this
takes all pairs of test images of a fold that are of two classes, and prints how often the one of the first
class is found more likely to be of the first than the other is: of pairs of one group, with an interval, and
of pairs of two groups. (Between two classes alone that is the AUC.) What knows nothing but the group is at 50
% in the former.
"""

from itertools import combinations

import numpy as np
from tables_of_pages import arguments, tables_of_pages

from cervbench.leaderboard.cells import AUC, pooled_from
from cervbench.markup.text import figure, grid
from cervbench.records.store import Store
from cervbench.scoring.classification import HEADLINE
from cervbench.scoring.intervals import design, interval
from cervbench.scoring.pooling import Pooled
from cervbench.scoring.tally import Floats, Ints


def told_apart(labels: Ints, probabilities: Floats) -> tuple[Floats, int]:
    """How many pairs of images of two classes are told apart, by draw; and how many there are."""
    told, pairs = np.zeros(len(probabilities)), 0
    for one, other in combinations(np.unique(labels), 2):
        likely = probabilities[:, :, one], probabilities[:, :, other]
        both = likely[0] + likely[1]
        share = np.divide(likely[0], both, out=np.full_like(both, 0.5), where=both > 0)
        apart = share[:, labels == one, None] - share[:, None, labels == other]
        told += ((apart > 0) + (apart == 0) / 2).sum(axis=(1, 2))
        pairs += apart[0].size
    return told, pairs


def described(pooled: Pooled) -> tuple[str, str, str]:
    """Pairs of one group, pairs of two, and on how many pairs and groups the former rest."""
    plan = design(pooled)
    units, folds = (
        [told_apart(pooled.labels[own], pooled.probabilities[:, own]) for own in masks]
        for masks in (
            [plan.units == unit for unit in range(len(plan.folds))],
            [pooled.folds == fold for fold in np.unique(pooled.folds)],
        )
    )
    told, pairs = np.array([told for told, _ in units]), np.array([pairs for _, pairs in units])
    between = sum(told for told, _ in folds) - told.sum(axis=0)
    between = float((between / (sum(pairs for _, pairs in folds) - pairs.sum())).mean())
    rests_on = f"{pairs.sum()} pairs in {(pairs > 0).sum()} groups"
    if not pairs.any():
        return "–", figure([between]), rests_on
    in_fold = np.array([told[plan.folds == fold].sum(axis=0) for fold in np.unique(plan.folds)])
    of_seeds = in_fold.reshape(len(in_fold), pooled.seeds, -1)
    of_others = (of_seeds.sum(axis=0) - of_seeds).mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # without the only group that holds two classes there is no pair
        values = (plan.weights @ told) / (plan.weights @ pairs)[:, None]
    by_fold = (of_seeds + of_others) / pairs.sum()
    values = np.concatenate([values.reshape(len(values), pooled.seeds, -1), by_fold])
    found = float(values[0].mean()), *(interval(values, plan.folds, AUC) or ())
    return figure(found), figure([between]), rests_on


def main() -> None:
    asked = arguments(__doc__, metric=False).parse_args()
    for what, table, figures in tables_of_pages(Store(asked.out), HEADLINE):
        last, body, rests_on = table.ratios[-1], [], ""
        for line in table.lines:
            if line.row.complete(last):
                own, others, rests_on = described(pooled_from(figures.source((line.row, last))))
                body.append([line.name, own, others])
        print(f"\n{what}\n\n{grid([f'at {last} %', f'of one group: {rests_on}', 'of two groups'], body)}")


if __name__ == "__main__":
    main()
