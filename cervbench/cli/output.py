"""What a command says on stdout, so that a program can read it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO

import click

from cervbench.cli.errors import Failed


@contextmanager
def stdout_alone() -> Iterator[TextIO]:
    """stdout, kept free for what the command itself tells: what plugins print meanwhile goes to stderr."""
    stdout = sys.stdout
    with redirect_stdout(sys.stderr):
        yield stdout


def tell(line: str, stdout: TextIO) -> None:
    """Print a line to stdout, and end the command if nobody reads it any more, as behind `head`."""
    try:
        click.echo(line, file=stdout)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stdout.fileno())  # or Python would flush it on exit, and complain
        os.close(nowhere)
        raise Failed("stdout was closed; what is done is kept, and the same command goes on") from None
