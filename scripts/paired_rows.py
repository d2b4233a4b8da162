"""How far one row of a leaderboard is above another, paired, at every ratio that both have in all folds.

    python scripts/paired_rows.py leaderboards simclr simclr-published

Pages compare with rows that need no pretext stage; this compares two methods, each called as its row is.
The p-values are of each difference alone.
"""

import argparse
from itertools import groupby
from pathlib import Path

from cervbench.leaderboard.cache import Cache
from cervbench.leaderboard.figures import Figures
from cervbench.leaderboard.reading import gather
from cervbench.leaderboard.tables import Table, tables, title
from cervbench.markup.text import grid
from cervbench.place import cache_root
from cervbench.records.store import Store


def compared(table: Table, one: str, other: str, figures: Figures) -> list[list[str]]:
    """A line a ratio; none where the table lacks one of the rows."""
    rows = {line.name: line.row for line in table.lines}
    if not {one, other} <= rows.keys():
        return []
    lines = []
    for ratio in table.ratios:
        whole = rows[one].complete(ratio) and rows[other].complete(ratio)
        gain = figures.gain(one, rows[one], rows[other], ratio) if whole else None
        if gain and gain.value is not None and gain.low is not None and gain.high is not None:
            value, low, high = (f"{100 * number:+.1f}" for number in (gain.value, gain.low, gain.high))
            lines.append([f"{ratio} %", f"{value} [{low}, {high}]".replace("-", "−"), f"{gain.p:.4f}"])
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="the folder that holds records and predictions")
    parser.add_argument("one", help="the name of a row, as on its page")
    parser.add_argument("other", help="the name of the row that it is compared with")
    asked = parser.parse_args()
    store, found = Store(asked.out), False
    with Cache(cache_root()) as cache:
        for variant, paths in groupby(store.paths(), key=lambda path: path.parent.name):
            rows = [row for row in gather(store, list(paths), cache) if not row.trial]
            figures = Figures(rows, store, cache)
            for table in tables(figures):
                if lines := compared(table, asked.one, asked.other, figures):
                    found = True
                    header = ["labels", f"{asked.one} above {asked.other}, points", "p"]
                    print(f"\n{variant}, {title(table)}\n\n{grid(header, lines)}")
    if not found:
        parser.error(f"no table has both {asked.one!r} and {asked.other!r} in all folds of some ratio")


if __name__ == "__main__":
    main()
