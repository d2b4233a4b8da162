"""The command line. Only the module of the command that is asked for is imported, to start fast."""

import sys
from collections.abc import Mapping
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

from cervbench.cli.errors import explained

COMMANDS: Mapping[str, tuple[str, str]] = {
    "run": ("cervbench.cli.run:run", "Train, evaluate and record."),
    "list": ("cervbench.cli.listing:listing", "List what there is to run."),
    "data": ("cervbench.cli.data:data", "Fetch, prepare, check and audit datasets."),
    "leaderboard": ("cervbench.cli.leaderboard:leaderboard", "Build pages from records, and check them."),
    "verify": ("cervbench.cli.verify:verify", "Rescore records from their stored predictions."),
    "show": ("cervbench.cli.show:show", "Show what a classifier looks at."),
    "plugin": ("cervbench.cli.plugin:plugin", "Start a package of your own, and check one."),
    "bench": ("cervbench.cli.bench:bench", "Measure how fast training is on this machine."),
    "doctor": (
        "cervbench.cli.doctor:doctor",
        "Say what is wrong with this installation, and what to do.",
    ),
}
"""By command, where its function is, and the line that `cervbench --help` shows for it."""


class _LazyCommands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        with explained(ctx):
            return super().invoke(ctx)


@click.group(cls=_LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cervbench", message="cervbench %(version)s")
def main() -> None:
    """How well does a self-supervised method learn from cervical images when labels are scarce?"""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter ends no run
