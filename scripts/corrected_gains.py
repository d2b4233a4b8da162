"""The p-values behind the differences that a page makes bold: of each alone, and by Holm's correction.

    python scripts/corrected_gains.py leaderboards

Prints a table for each table of the leaderboards: how far each row's balanced accuracy, or another metric of
the page (`--metric abnormal_auc`), is above the same encoder without its pretext stage. Pages correct for the
rows of a column; the last p-value is corrected for all differences of the table. Smoke-tier records and
records off protocol are left out.
"""

from collections.abc import Mapping

from tables_of_pages import arguments, tables_of_pages

from cervbench.leaderboard.tables import Table
from cervbench.markup.text import grid, number
from cervbench.records.store import Store
from cervbench.scoring.comparison import holm


def cells(table: Table, metric: str) -> Mapping[tuple[str, int], str]:
    """By row and ratio, the gain and its p-values."""
    by_column = table.p_of_gains.get(metric, {})
    gains = {
        (line.name, ratio): (gain.value, gain.p)
        for line in table.ranked
        for ratio, gain in line.gains.get(metric, {}).items()
        if gain.value is not None and gain.p is not None and (line.name, ratio) in by_column
    }
    by_table = holm([p for _, p in gains.values()])
    return {
        at: f"{number(100 * value, 1, signed=True)}, {p:.4f}, {by_column[at]:.4f}, {overall:.4f}"
        for (at, (value, p)), overall in zip(gains.items(), by_table, strict=True)
    }


def main() -> None:
    asked = arguments(__doc__).parse_args()
    for what, table, _ in tables_of_pages(Store(asked.out), asked.metric):
        told = cells(table, asked.metric)
        if names := [line.name for line in table.ranked if asked.metric in line.gains]:
            header = ["gain, p, by column, by table", *(f"{ratio} %" for ratio in table.ratios)]
            lines = ([name, *(told.get((name, r), "") for r in table.ratios)] for name in names)
            print(f"\n{what}\n\n{grid(header, lines)}")


if __name__ == "__main__":
    main()
