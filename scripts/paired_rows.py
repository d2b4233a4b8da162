"""How far one row of a leaderboard is above another, paired, at every ratio that both have in all folds.

    python scripts/paired_rows.py leaderboards simclr simclr-published

Pages compare with rows that need no pretext stage; this compares two methods, each called as its row is.
The p-values are of each difference alone. Pages pool the predictions of all folds before they take recalls,
which is not the mean of the folds' own balanced accuracies; that mean, and what it is of, stand beside it.
"""

from statistics import fmean

from tables_of_pages import arguments, tables_of_pages

from cervbench.leaderboard.figures import Figures
from cervbench.leaderboard.rows import Row
from cervbench.leaderboard.tables import Table
from cervbench.markup.text import figure, grid, number
from cervbench.records.store import Store

HEADER = ["labels", "pooled, points", "p", "mean of the folds", "fold by fold"]


def compared(
    table: Table, one: str, other: str, metric: str, figures: Figures, store: Store
) -> list[list[str]]:
    """A line per ratio; none where the table lacks one of the rows."""
    rows = {line.name: line.row for line in table.lines}
    if not {one, other} <= rows.keys():
        return []
    lines = []
    for ratio in table.ratios:
        whole = rows[one].complete(ratio) and rows[other].complete(ratio)
        gain = figures.gain(one, rows[one], rows[other], ratio, metric) if whole else None
        if gain and gain.value is not None:
            ours, theirs = (scores(rows[name], ratio, metric, store) for name in (one, other))
            by_fold = [None if a is None or b is None else a - b for a, b in zip(ours, theirs, strict=True)]
            known = [difference for difference in by_fold if difference is not None]
            told = (points(fmean(known) if known else None), ", ".join(map(points, by_fold)))
            lines.append([f"{ratio} %", figure(gain[:3], signed=True), f"{gain.p:.4f}", *told])
    return lines


def scores(row: Row, ratio: int, metric: str, store: Store) -> list[float | None]:
    """The metric of each fold alone, as its record has it."""
    variant = row.sample.run.dataset.variant
    paths = [store.record_path(variant, entry.id) for _, entry in sorted(row.records[ratio].items())]
    return [store.record(path).scores[metric] for path in paths]


def points(share: float | None) -> str:
    return "–" if share is None else number(100 * share, 1, signed=True)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("one", help="the name of a row, as on its page")
    parser.add_argument("other", help="the name of the row that it is compared with")
    asked = parser.parse_args()
    store, found = Store(asked.out), False
    for what, table, figures in tables_of_pages(store, asked.metric):
        if lines := compared(table, asked.one, asked.other, asked.metric, figures, store):
            found = True
            print(f"\n{what}: {asked.one} above {asked.other}\n\n{grid(HEADER, lines)}")
    if not found:
        parser.error(f"no table has both {asked.one!r} and {asked.other!r} in all folds of some ratio")


if __name__ == "__main__":
    main()
