"""`cervbench leaderboard`: pages made from records, checked, as data, or two of their rows compared."""

import csv
import json
from io import StringIO
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cervbench.cli import options
from cervbench.cli.errors import FAILED
from cervbench.markup.escaping import printable
from cervbench.place import cache_root, cores
from cervbench.plugin.manager import plugins

if TYPE_CHECKING:
    from cervbench.leaderboard.compared import Compared


@click.group()
def leaderboard() -> None:
    """Make pages from records, check them, give them as data, or compare two rows."""


_everything = click.option(
    "--all", "everything", is_flag=True, help="Include records off protocol and of the smoke tier."
)
_shared = options.together(
    options.records,
    click.option(
        "--pages", type=options.FOLDER, help="The folder of the pages.  [default: that of --records]"
    ),
    _everything,
)


@leaderboard.command()
@_shared
def build(everything: bool, records: Path, pages: Path | None) -> None:
    """Write the index, a page for each variant, and their charts."""
    from cervbench.leaderboard import build

    written = build(_holding_records(records), pages, everything, _workers())
    click.echo(written[0])
    click.echo(f"{len(written)} pages and charts are up to date", err=True)


@leaderboard.command()
@_shared
def check(everything: bool, records: Path, pages: Path | None) -> None:
    """Verify every record, and compare the pages with what the records give."""
    from cervbench.leaderboard import check

    problems = check(_holding_records(records), pages, everything, plugins(), _workers())
    for problem in problems:
        click.echo(printable(problem))
    if problems:
        raise SystemExit(FAILED)
    click.echo("records and pages agree", err=True)


@leaderboard.command()
@click.argument("one")
@click.argument("other")
@options.records
@click.option(
    "--metric",
    default="balanced_accuracy",
    show_default=True,
    help="balanced_accuracy or abnormal_auc.",
)
@_everything
@options.as_json("per ratio of a table")
def compare(one: str, other: str, records: Path, metric: str, everything: bool, as_json: bool) -> None:
    """Tell how far the row ONE is above the row OTHER, paired.

    At every ratio that both have in a table, over all the seeds that both have
    there. Rows are called as on their page; a method's name stands for all its
    rows, unless one has just this name.
    """
    from cervbench.leaderboard import compare_rows

    found = compare_rows(_holding_records(records), one, other, cache_root(), metric, everything)
    if as_json:
        for compared in found:
            click.echo(json.dumps(compared.flat()))
        return
    for (variant, table, ours, theirs, seeds), of_table in groupby(
        found, key=lambda c: (c.variant, c.table, c.one, c.other, c.seeds)
    ):
        click.echo(printable(f"{variant}, {table}\n{ours} above {theirs}, {metric}, points"))
        click.echo(f"pretraining seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}\n")
        click.echo(f"{_as_table(list(of_table))}\n")
    if any(compared.gain.p is not None for compared in found):
        click.echo("p is of each difference alone; correct it (Holm) if you look at several", err=True)
    if any(compared.draws == 1 and compared.ratio < 100 for compared in found):
        click.echo("a single draw says nothing of other labels, nor a single seed of other seeds", err=True)


@leaderboard.command()
@options.records
@_everything
@options.as_json("per figure")
def figures(records: Path, everything: bool, as_json: bool) -> None:
    """Print every figure of the pages as data, with its interval and its tests.

    As CSV, in which the items of a list are separated by spaces, or as JSON.
    Where pages have per cent these are shares; what is undefined is empty.
    """
    from cervbench.leaderboard import FlatFigure, flat_figures

    found, left_out = flat_figures(_holding_records(records), cache_root(), everything, _workers())
    if as_json:
        for figure in found:
            click.echo(json.dumps(vars(figure)))
    else:
        text = StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(FlatFigure.names())
        table.writerows(map(_csv_cell, vars(figure).values()) for figure in found)
        click.echo(text.getvalue().encode(), nl=False)  # in UTF-8, whatever the terminal has
    for said in left_out:
        click.echo(printable(said), err=True)


def _csv_cell(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join("nan" if one is None else str(one) for one in value)
    return "" if value is None else printable(str(value))


def _as_table(found: "list[Compared]") -> str:
    from tabulate import tabulate

    from cervbench.markup.text import figure, number

    def points(share: float | None) -> str:
        return "–" if share is None else number(100 * share, 1, signed=True)

    cells = [
        [
            f"{compared.ratio} %",
            compared.draws,
            compared.why_not or figure(compared.gain[:3], signed=True),
            "" if (p := compared.gain.p) is None else f"{p:.4f}" if p >= 1e-4 else "below 0.0001",
            points(compared.mean_of_folds),
            ", ".join(map(points, compared.by_fold)),
        ]
        for compared in found
    ]
    header = ["labels", "draws", "folds pooled", "p", "mean of folds", "fold by fold"]
    return tabulate(cells, headers=header, tablefmt="plain", disable_numparse=True)


def _workers() -> int:
    """At most four: more would take more memory, and then wait for the disk."""
    return min(cores(), 4)


def _holding_records(folder: Path) -> Path:
    """The output folder, even if its subfolder `records` was given."""
    if (folder / "records").is_dir():
        return folder
    if folder.name == "records" and folder.is_dir():
        return folder.parent
    raise click.UsageError(
        f"{folder} has no folder `records`: --records takes what `cervbench run` was given as --out"
    )
