"""`cervbench data`: fetch a dataset from its official source, check it, and prepare it for runs."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cervbench import place
from cervbench.cli import options
from cervbench.cli.errors import Failed
from cervbench.cli.output import stdout_alone
from cervbench.data.cards.card import Card
from cervbench.error import first_few
from cervbench.markup.escaping import printable
from cervbench.plugin.manager import plugins
from cervbench.progress import shown_on_stderr
from cervbench.resolve import find_card


class _Dataset(click.ParamType):
    """A dataset by name, a manifest, or a folder of class folders."""

    name = "dataset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Card:
        return value if isinstance(value, Card) else find_card(value, plugins())


_card = click.argument("card", metavar="DATASET", type=_Dataset())


@click.group()
def data() -> None:
    """Fetch, prepare, check and audit datasets."""


@data.command()
@_card
@options.data_root
@options.as_json()
def fetch(card: Card, data_root: Path, as_json: bool) -> None:
    """Download a dataset from its official source and unpack it below the data root."""
    from cervbench.data.fetch import fetch as fetch_card

    with shown_on_stderr() as watch, stdout_alone():
        fetched = fetch_card(card, data_root, place.cache_root(), watch)
    if as_json:
        files = [{"url": one.url, "size": one.size, "sha256": one.sha256} for one in fetched.downloads]
        click.echo(json.dumps({"dataset": card.name, "folder": str(fetched.folder), "files": files}))
        return
    for one in fetched.downloads:
        known = "as published" if one.published else "none is published, so this one is remembered"
        click.echo(f"{one.url}: {one.size:,} bytes, sha256 {one.sha256} ({known})")
    click.echo(f"{card.name} is in {fetched.folder}\nlicence: {card.licence}\nto be cited: {card.citation}")


@data.command()
@_card
@options.data_root
@options.as_json()
def prepare(card: Card, data_root: Path, as_json: bool) -> None:
    """Build the pack and the folds that runs read. `run` does this too, if it was not done before."""
    from cervbench.data.dataset import open_dataset
    from cervbench.protocol.protocol import load_rules

    with shown_on_stderr() as watch, stdout_alone():
        dataset = open_dataset(card, data_root, place.cache_root(), load_rules(), watch)
    pack = dataset.pack
    lacking = dataset.manifest.lacking()
    known = {
        "dataset": card.name,
        "variant": dataset.variant,
        "images": len(pack.ids),
        "classes": {name: pack.labels.count(name) for name in card.classes},
        "unlabelled": pack.labels.count(""),
        "groups": len(set(pack.groups)) if card.groups_known else None,
        "folds": dataset.manifest.folds,
        "manifest": dataset.manifest.hash,
        "pack": pack.hash,
        "folder": str(pack.folder),
    }
    if as_json:
        click.echo(json.dumps(known | {"lacking": lacking}))
        return
    known["groups"] = known["groups"] or "unknown: folds may leak, and no interval is shown"
    for key, value in known.items():
        told = ", ".join(f"{name} {n}" for name, n in value.items()) if isinstance(value, dict) else value
        click.echo(f"{key:>11}  {told}")
    for name, parts in lacking.items():
        click.echo(f"class {name} is missing from {first_few(parts)}")


@data.command()
@_card
@options.data_root
@options.as_json()
def check(card: Card, data_root: Path, as_json: bool) -> None:
    """Read every image, compare all with the card, and name whatever would mislead or end a run."""
    from cervbench.data.check import check as check_card

    with shown_on_stderr() as watch, stdout_alone():
        report = check_card(card, data_root, watch)
    for finding in report.findings:
        if as_json:
            click.echo(json.dumps(asdict(finding)))
        else:
            click.echo(printable(f"{finding.kind}: {finding.subject}: {finding.detail}"))
    if not report.ok:
        count = len(report.findings)
        raise Failed(f"{card.name}: {count} finding{'s' if count > 1 else ''}, as said above")
    groups = f"of {report.groups} groups" if card.groups_known else "groups unknown"
    unlabelled = report.images - sum(report.counts.values())
    known = {**report.counts, **({"unlabelled": unlabelled} if unlabelled else {})}
    counts = ", ".join(f"{count} {name}" for name, count in known.items())
    click.echo(f"nothing is wrong: {card.name} has {report.images} images, {groups}: {counts}", err=as_json)


@data.command()
@_card
@options.data_root
@options.as_json()
@options.out
def audit(card: Card, data_root: Path, as_json: bool, out: Path) -> None:
    """Measure how much a random split of a dataset would leak, and write a page about it."""
    from cervbench.audit import audit as audit_dataset
    from cervbench.data.dataset import open_dataset
    from cervbench.protocol.protocol import load_rules

    with shown_on_stderr() as watch, stdout_alone():
        dataset = open_dataset(card, data_root, place.cache_root(), load_rules(), watch)
    click.echo(f"auditing {dataset.variant}: {len(dataset.pack.ids)} images", err=True)
    with stdout_alone():
        found, paths = audit_dataset(dataset, out / "audits")
    click.echo(json.dumps(asdict(found)) if as_json else "\n".join(str(path.resolve()) for path in paths))
