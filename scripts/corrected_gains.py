"""The p-values behind the differences that a page makes bold: of each alone, and by Holm's correction.

    python scripts/corrected_gains.py leaderboards

Prints a table for each table of the leaderboards: how far each row's balanced accuracy, or another metric of
the page (`--metric abnormal_auc`), is above the same encoder without its pretext stage. Pages correct for the
rows of a column; the last p-value is corrected for all differences of the table. Smoke-tier records and
records off protocol are left out.
"""

import argparse
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from cervbench.leaderboard.cache import Cache
from cervbench.leaderboard.cells import AUC
from cervbench.leaderboard.figures import Figures
from cervbench.leaderboard.reading import gather
from cervbench.leaderboard.tables import Table, tables, title
from cervbench.markup.text import grid, number
from cervbench.place import cache_root
from cervbench.records.store import Store
from cervbench.scoring.classification import HEADLINE
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="the folder that holds records and predictions")
    parser.add_argument("--metric", default=HEADLINE, choices=(HEADLINE, AUC), help="of a page")
    asked = parser.parse_args()
    store = Store(asked.out)
    with Cache(cache_root()) as cache:
        for variant, paths in groupby(store.paths(), key=lambda path: path.parent.name):
            rows = [row for row in gather(store, list(paths), cache) if not row.trial]
            for table in tables(Figures(rows, store, cache)):
                told = cells(table, asked.metric)
                if names := [line.name for line in table.ranked if asked.metric in line.gains]:
                    header = ["gain, p, by column, by table", *(f"{ratio} %" for ratio in table.ratios)]
                    lines = ([name, *(told.get((name, r), "") for r in table.ratios)] for name in names)
                    print(f"\n{variant}, {title(table)}\n\n{grid(header, lines)}")


if __name__ == "__main__":
    main()
