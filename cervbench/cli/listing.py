"""`cervbench list`: what there is to run, by kind."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click
from pydantic_core import to_jsonable_python

from cervbench.cli import options
from cervbench.cli.settings_table import described
from cervbench.plugin.catalog import Catalog, Offered
from cervbench.plugin.manager import Plugins, plugins

Row = dict[str, Any]


def methods(found: Plugins) -> Iterable[Row]:
    for row, offer in _offered(found.methods):
        yield row | {
            "reference": offer.reference,
            "revision": offer.revision,
            "pretext": offer.pretrains,
            "settings": to_jsonable_python(dict(offer.config.model_construct())),
        }


def datasets(found: Plugins) -> Iterable[Row]:
    for row, card in _offered(found.datasets):
        yield row | {
            "title": card.title,
            "images": sum(card.expected.values()) or None,
            "classes": list(card.classes),
            "abnormal": sorted(card.abnormal),
            "severity": dict(card.severity or {}),
            "group": card.group,
            "licence": card.licence,
            "source": card.source.page,
            "reference": card.citation,
            "hierarchy": card.hierarchy,
        }


def backbones(found: Plugins) -> Iterable[Row]:
    for row, offer in _offered(found.backbones):
        yield row | {"reference": offer.reference, "weights": offer.weights, "notes": offer.notes}


def evaluations(found: Plugins) -> Iterable[Row]:
    for row, offer in _offered(found.evaluations):
        yield row | {
            "reference": offer.reference,
            "revision": offer.revision,
            "encoder": "frozen" if offer.frozen else "trained further",
            "schema": offer.schema,
        }


def studies(found: Plugins) -> Iterable[Row]:
    from cervbench.study import Study, shipped

    return ({"name": name, "title": Study.load(name).title} for name in shipped())


def packages(found: Plugins) -> Iterable[Row]:
    found.load_everything()
    for package, version in found.packages.items():
        yield {
            "package": package,
            "version": version,
            "adds": [
                f"{catalog.kind} {name}"
                for catalog in found.catalogs
                for name, _ in catalog.of_package(package)
            ]
            + [f"watcher {hook}" for hook in found.watched_by(package)],
            "problems": [
                {"where": problem.where, "what": problem.what, "how_to_mend": problem.how_to_mend}
                for problem in found.problems
                if problem.package == package
            ],
        }


def _offered(catalog: Catalog[Offered]) -> Iterator[tuple[Row, Offered]]:
    for name, entry in catalog.items():
        yield {"name": name, "package": entry.package, "version": entry.version}, entry.offer


KINDS: dict[str, Callable[[Plugins], Iterable[Row]]] = {
    "methods": methods,
    "datasets": datasets,
    "backbones": backbones,
    "evaluations": evaluations,
    "studies": studies,
    "plugins": packages,
}
SHOWN = ("name", "package", "version", "title", "images", "reference", "encoder", "adds")
SHOWN_OF_SETTINGS = ("setting", "default", "accepts", "description")
"""The columns that a terminal has room for; --json has all of them."""
WIDEST = 70


@click.command("list")
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.option("--config", metavar="NAME", help="List the settings of this method instead.")
@options.as_json("per row, with all that is known,")
def listing(kind: str, config: str | None, as_json: bool) -> None:
    """List what there is to run.

    `plugins` imports everything that the installed packages offer and shows what is wrong with them.
    """
    if config and kind != "methods":
        raise click.UsageError(
            "--config shows the settings of a method: cervbench list methods --config NAME"
        )
    found = plugins()
    rows = described(found.methods.get(config).offer.config) if config else list(KINDS[kind](found))
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
    elif rows:
        click.echo(_table([_as_typed(row) for row in rows] if config else rows))
    if kind == "backbones" and not as_json:
        click.echo("\nand every model of timm, by its name there: timm.list_models()")
    if config and not rows and not as_json:
        click.echo(f"{config} has no settings")
    for problem in found.problems:
        click.echo(f"\n{problem}", err=True)


def _as_typed(setting: Row) -> Row:
    """With the default written as `--set` takes it."""
    default = setting["default"]
    return {**setting, "default": default if isinstance(default, str) else _toml(default)}


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)


def _table(rows: list[Row]) -> str:
    from tabulate import tabulate

    columns = [key for key in (*SHOWN, *SHOWN_OF_SETTINGS) if key in rows[0]]
    cells = [[_cell(row[key]) for key in columns] for row in rows]
    return tabulate(cells, headers=columns, tablefmt="plain", disable_numparse=True, maxcolwidths=WIDEST)


def _cell(value: Any) -> str:
    if value is None:
        return "?"
    return ", ".join(value) if isinstance(value, list) else str(value)
