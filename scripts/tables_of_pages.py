"""The tables of a leaderboard as its pages have them, for the scripts beside this one."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from pathlib import Path

from cervbench.leaderboard.cache import Cache
from cervbench.leaderboard.cells import AUC
from cervbench.leaderboard.figures import Figures
from cervbench.leaderboard.tables import Table, title
from cervbench.leaderboard.variants import variants
from cervbench.place import cache_root
from cervbench.records.store import Store
from cervbench.scoring.classification import HEADLINE


def arguments(description: str | None, metric: bool = True) -> ArgumentParser:
    """The folder, and for most of them the metric, that every one of them is asked for."""
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder that holds records and predictions")
    if metric:
        parser.add_argument("--metric", default=HEADLINE, choices=(HEADLINE, AUC), help="of a page")
    return parser


def tables_of_pages(store: Store, metric: str) -> Iterator[tuple[str, Table, Figures]]:
    """What each is called, the tables that have the metric, and the figures of its variant."""
    with Cache(cache_root()) as cache:
        for variant in variants(store, store.paths(), cache):
            for table in variant.tables:
                if metric in table.metrics:
                    yield f"{variant.name}, {title(table)}", table, variant.figures
