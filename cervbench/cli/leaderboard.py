"""`cervbench leaderboard`: pages from records, and pages against records."""

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
    click.option("--pages", type=options.FOLDER, help="Where the pages are; in it by default."),
    click.option("--all", "everything", is_flag=True, help="Smoke-tier and off-protocol records too."),
)


@leaderboard.command()
@_shared
def build(everything: bool, records: Path, pages: Path | None) -> None:
    """Write the index, a page a variant, and their charts."""
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
    """More would hold more memory, and wait for the disk."""
    return min(os.cpu_count() or 1, 4)


def _holding_records(folder: Path) -> Path:
    """The output folder, also when its `records` folder was given."""
    if (folder / "records").is_dir():
        return folder
    if folder.name == "records" and folder.is_dir():
        return folder.parent
    raise click.UsageError(
        f"{folder} has no folder `records`: --records takes what `cervbench run` was given as --out"
    )
