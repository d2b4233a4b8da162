"""`cervbench leaderboard`: pages from records, and pages against records."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cervbench.cli.errors import FAILED
from cervbench.cli.verify import score_of


@click.group()
def leaderboard() -> None:
    """Make pages from records, or check them."""


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--all", "everything", is_flag=True, help="Smoke-tier and off-protocol records too."),
        click.option("--records", type=_FOLDER, default=Path("leaderboards"), help="The output folder."),
        click.option("--pages", type=_FOLDER, default=None, help="Where the pages are; in it by default."),
    ):
        command = option(command)
    return command


_FOLDER = click.Path(file_okay=False, path_type=Path)


@leaderboard.command()
@_options
def build(everything: bool, records: Path, pages: Path | None) -> None:
    """Write the index, a page a variant, and their charts."""
    from cervbench.leaderboard import build

    written = build(_holding_records(records), pages, everything, _workers())
    click.echo(written[0])
    click.echo(f"{len(written)} pages and charts are up to date", err=True)


@leaderboard.command()
@_options
def check(everything: bool, records: Path, pages: Path | None) -> None:
    """Verify every record, and compare the pages with what the records give."""
    from cervbench.leaderboard import check

    problems = check(_holding_records(records), pages, everything, score_of, _workers())
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
