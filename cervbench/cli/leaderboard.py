"""`cervbench leaderboard`: make pages from records, or check them against records."""

import os
from pathlib import Path

import click

from cervbench.cli import options
from cervbench.cli.errors import FAILED
from cervbench.plugin.manager import plugins


@click.group()
def leaderboard() -> None:
    """Make pages from records, or check them."""


_shared = options.together(
    options.records,
    click.option(
        "--pages", type=options.FOLDER, help="The folder of the pages.  [default: that of --records]"
    ),
    click.option(
        "--all", "everything", is_flag=True, help="Include records off protocol and of the smoke tier."
    ),
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
        click.echo(problem)
    if problems:
        raise SystemExit(FAILED)
    click.echo("records and pages agree", err=True)


def _workers() -> int:
    """At most four: more would take more memory, and then wait for the disk."""
    return min(os.cpu_count() or 1, 4)


def _holding_records(folder: Path) -> Path:
    """The output folder, even if its subfolder `records` was given."""
    if (folder / "records").is_dir():
        return folder
    if folder.name == "records" and folder.is_dir():
        return folder.parent
    raise click.UsageError(
        f"{folder} has no folder `records`: --records takes what `cervbench run` was given as --out"
    )
