"""Options that several commands share, each declared once."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from cervbench import place
from cervbench.cli import parsing

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class _Folder(click.Path):
    """A folder, in which `~` is understood also where a shell leaves it, as in --out=~/mine."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(place.folder(value), param, ctx)


FOLDER = _Folder(file_okay=False, path_type=Path)

data_root = click.option(
    "--data-root",
    type=FOLDER,
    default=place.data_root,
    help="Holds a folder for each dataset.  [default: CERVBENCH_DATA]",
)
out = click.option(
    "--out",
    type=FOLDER,
    default=place.OUTPUT,
    show_default=True,
    help="The output folder.",
)
records = click.option(
    "--records",
    type=FOLDER,
    default=place.OUTPUT,
    show_default=True,
    help="The folder that `cervbench run` was given as --out.",
)
device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")


def as_json(each: str = "per line") -> Decorator:
    return click.option(
        "--json", "as_json", is_flag=True, help=f"One JSON object {each} on stdout, all else on stderr."
    )


def settings(help: str) -> Decorator:
    """--set KEY=VALUE, which may be given several times but only once for each key."""

    def once(
        ctx: click.Context, parameter: click.Parameter, given: Sequence[tuple[str, Any]]
    ) -> dict[str, Any]:
        keys = [key for key, _ in given]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise click.UsageError(f"--set gives {', '.join(sorted(twice))} more than once")
        return dict(given)

    return click.option(
        "--set",
        "settings",
        type=parsing.setting,
        multiple=True,
        callback=once,
        metavar="KEY=VALUE",
        help=help,
    )


def several(*names: str, parse: Callable[[str], Any], metavar: str, help: str) -> Decorator:
    """A list, given with commas, by repeating the option, or both; None if it is not given."""

    def joined(ctx: click.Context, parameter: click.Parameter, given: Sequence[str]) -> Any:
        return parse(",".join(given)) if given else None

    return click.option(*names, multiple=True, callback=joined, metavar=metavar, help=help)


def together(*options: Decorator) -> Decorator:
    """Several options as one decorator, in the order in which help shows them."""

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated
