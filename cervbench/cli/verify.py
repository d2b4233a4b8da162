"""`cervbench verify`: score records again from their stored predictions."""

import json
from pathlib import Path

import click

from cervbench.cli import options
from cervbench.cli.errors import FAILED
from cervbench.markup.escaping import printable
from cervbench.plugin.manager import plugins


@click.command()
@click.argument("records", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@options.as_json("per record")
def verify(records: tuple[Path, ...], as_json: bool) -> None:
    """Score RECORDS again from their stored predictions.

    RECORDS are files `<out>/records/<variant>/<id>.json`, or folders of them. For each, it says whether
    everything in it follows from its predictions, and what could not be checked. The exit code is 1 if
    something differs, or if scores cannot be recomputed because their package is not installed.
    """
    from cervbench.records.verify import verify_file

    paths = [path for given in records for path in _files(given)]
    differing = unscored = trusted = 0
    for path in paths:
        verdict = verify_file(path, plugins())
        differing += bool(verdict.differing)
        unscored += bool(verdict.unscored)
        trusted += bool(verdict.on_trust)
        found = "DIFFERS" if verdict.differing else "NOT SCORED" if verdict.unscored else "as recorded"
        if as_json:
            click.echo(json.dumps({"record": str(path), "found": found, **verdict._asdict()}))
        else:
            lines = [f"{path}: {found}", *verdict.problems, *filter(None, [verdict.on_trust])]
            click.echo(printable("\n  ".join(lines)))
    counted = "1 record" if len(paths) == 1 else f"{len(paths)} records"
    beside = f", {unscored} of them not scored here" if unscored else ""
    beside += f", {trusted} of them partly on trust, as said above" if trusted else ""
    found = "none differs" if unscored else "all as recorded"
    click.echo(f"{counted}, {f'{differing} not as recorded' if differing else found}{beside}", err=True)
    if differing or unscored:
        raise SystemExit(FAILED)


def _files(given: Path) -> list[Path]:
    """The file, or all records in a folder: an output folder, its `records`, or one variant of these."""
    if given.is_file():
        if given.suffix != ".json":
            raise click.UsageError(f"{given} is no record: these are <out>/records/<variant>/<id>.json")
        return [given]
    root = given / "records" if (given / "records").is_dir() else given
    found = sorted({*root.glob("*.json"), *root.glob("*/*.json")})
    if not found:
        raise click.UsageError(f"there is no record in {given}; they are in <out>/records/<variant>/")
    return found
