"""`cervbench plugin`: start a package, and check one."""

import json
from collections import Counter
from pathlib import Path

import click

from cervbench.cli import options
from cervbench.cli.errors import FAILED
from cervbench.cli.output import stdout_alone
from cervbench.plugin.manager import plugins
from cervbench.plugin.scaffold import new_package


@click.group()
def plugin() -> None:
    """Start a package of your own, and check one against the contract."""


@plugin.command()
@click.argument("name")
@click.option(
    "--into", type=options.FOLDER, default=Path(), help="The folder to write it to.  [default: this one]"
)
def new(name: str, into: Path) -> None:
    """Write a package with a method called NAME, which installs, passes its checks and runs as it is.

    NAME is made of lower-case letters and digits, with single dashes between words.
    """
    folder = new_package(name, into, {offered.rpartition(":")[2] for offered in plugins().methods})
    click.echo(
        f"{folder} is written. Next:\n"
        f'  pip install -e "{folder}[dev]"\n'
        f"  cervbench plugin check {folder.name}\n"
        f"  cervbench run --method {name} --dataset synthetic --tier smoke --folds 0 --out my-results"
    )


@plugin.command()
@click.argument("package")
@options.as_json("per check")
def check(package: str, as_json: bool) -> None:
    """Run every check on what an installed PACKAGE offers. The exit code is 1 if one fails.

    Methods are trained for a few steps on drawn cells, which takes some ten seconds each.
    """
    from cervbench.checks import CheckFailed, checks_of
    from cervbench.checks.check import Skipped

    counts = Counter[str]()
    with stdout_alone():
        checks = checks_of(package)
    for one in checks:
        try:
            with stdout_alone():
                passed, why, to_do = True, one(), ""
        except CheckFailed as failure:
            passed, why, to_do = False, failure.why, failure.to_do
        skipped = isinstance(why, Skipped)
        found = "skip" if skipped else "ok" if passed else "FAILS"
        counts[found] += 1
        if as_json:
            named = {"package": package, "subject": one.name, "check": one.demand.__name__}
            told = {"passed": passed, "skipped": skipped, "why": why, "to_do": to_do}
            click.echo(json.dumps(named | told))
        else:
            click.echo("\n      ".join(line for line in (f"{found:5} {one}", why, to_do) if line))
    click.echo(f"{len(checks)} checks: {counts['FAILS']} failed, {counts['skip']} skipped", err=True)
    if counts["FAILS"]:
        raise SystemExit(FAILED)
