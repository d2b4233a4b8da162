"""Progress on stderr: a bar if it is a terminal, and otherwise a line now and then."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cervbench.watching import WatchStages

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def shown_on_stderr() -> Iterator["WatchStages"]:
    """Shows what is being done, how far it is, what `in_words` says and, in a bar, the time left."""
    if sys.stderr is not None and sys.stderr.isatty():
        with _bar() as watch:
            yield watch
    else:
        yield _lines()


@contextmanager
def _bar() -> Iterator["WatchStages"]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[values]}"),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # or rich would print records to stderr, with the bars
    )
    with bars:
        task = bars.add_task("", total=None, values="")
        current = ""

        def watch(doing: str, step: int, steps: int, values: Mapping[str, float]) -> None:
            nonlocal current
            if doing != current:
                current = doing
                bars.reset(task, description=doing)
            bars.update(task, completed=step, total=steps or None, values=in_words(values))

        yield watch


def _lines() -> "WatchStages":
    current, last = "", 0.0

    def watch(doing: str, step: int, steps: int, values: Mapping[str, float]) -> None:
        nonlocal current, last
        now = time.monotonic()
        if doing == current and step < steps and now - last < SECONDS_BETWEEN_LINES:
            return
        current, last = doing, now
        told = [doing, f"{step}/{steps}" if steps else "", in_words(values)]
        with suppress(OSError):  # nobody looks on any more, which is no reason to stop
            click.echo(" ".join(filter(None, told)), err=True)

    return watch


def in_words(values: Mapping[str, float]) -> str:
    """The numbers that tell whether training goes well."""
    told = {"loss": "loss {:.3f}", "batch_rank": "rank {:.0f}", "images_per_second": "{:,.0f} views/s"}
    return ", ".join(text.format(values[name]) for name, text in told.items() if name in values)
