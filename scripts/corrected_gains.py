"""The p-values behind the differences that a page makes bold: of each alone, and by Holm's correction.

    python scripts/corrected_gains.py leaderboards

Prints a table a leaderboard table of each variant: how far each row's balanced accuracy is above the same
encoder without its pretext stage. Smoke-tier records and records off protocol are left out.
"""

import argparse
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from cervbench.leaderboard.cache import Cache
from cervbench.leaderboard.figures import Figures
from cervbench.leaderboard.reading import gather
from cervbench.leaderboard.tables import Table, tables, title
from cervbench.markup.text import grid
from cervbench.place import cache_root
from cervbench.records.store import Store


def column(table: Table, ratio: int) -> Iterator[tuple[str, str]]:
    """The name of each row, and its gain with both p-values."""
    for line in table.ranked:
        gain, corrected = line.gains.get(ratio), table.p_of_gains.get((line.name, ratio))
        if gain is not None and gain.value is not None and corrected is not None:
            yield line.name, f"{100 * gain.value:+.1f}, {gain.p:.4f}, {corrected:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="the folder that holds records and predictions")
    store = Store(parser.parse_args().out)
    with Cache(cache_root()) as cache:
        for variant, paths in groupby(store.paths(), key=lambda path: path.parent.name):
            rows = [row for row in gather(store, list(paths), cache) if not row.trial]
            for table in tables(Figures(rows, store, cache)):
                columns = {ratio: dict(column(table, ratio)) for ratio in table.ratios}
                if names := [line.name for line in table.ranked if line.gains]:
                    header = ["gain, p, corrected p", *(f"{ratio} %" for ratio in table.ratios)]
                    cells = ([name, *(own.get(name, "") for own in columns.values())] for name in names)
                    print(f"\n{variant}, {title(table)}\n\n{grid(header, cells)}")


if __name__ == "__main__":
    main()
