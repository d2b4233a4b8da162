"""`cervbench run`: do the runs that are asked for, and build the pages."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from traceback import format_exception
from typing import Any

import click
from click.core import ParameterSource

from cervbench import place
from cervbench.cli import options, parsing
from cervbench.cli.errors import Failed, WrongUsage, expected
from cervbench.cli.output import stdout_alone, tell
from cervbench.error import UsageError
from cervbench.harness import Outcome, execute
from cervbench.leaderboard.pages import build, refuse_foreign
from cervbench.plan import plan
from cervbench.plugin.manager import plugins
from cervbench.plugin.offers import CLASSIFICATION_SCHEMA
from cervbench.progress import shown_on_stderr
from cervbench.protocol.protocol import TIERS
from cervbench.records.record import NO_BACKBONE, Record, Run
from cervbench.records.store import Store
from cervbench.runs import changed_settings
from cervbench.scoring.classification import HEADLINE
from cervbench.study import PARTS, SEVERAL, Request, Study

BESIDE_A_STUDY = {"study", "data_root", "out", "device", "dry_run", "as_json"}


@click.command()
@click.argument("study", required=False, metavar="[STUDY]")
@click.option("--method", help="A method; see: cervbench list methods.")
@click.option("--dataset", help="A dataset by name, a manifest.csv, or a folder of class folders.")
@click.option(
    "--backbone",
    default="resnet18",
    show_default=True,
    help="resnet50, vgg16, vit, or any timm model.",
)
@click.option("--init", default="random", show_default=True, help="random, imagenet, or a safetensors file.")
@options.several(
    "--labels",
    "ratios",
    parse=parsing.ratios,
    metavar="1,10,100",
    help="Per cent of the labels to use.  [default: 1, 5, 10, 25, 50 and 100]",
)
@options.several(
    "--eval",
    "evaluations",
    parse=parsing.names,
    metavar="NAMES",
    help="linear,knn,finetune.  [default: all three]",
)
@options.several("--folds", parse=parsing.numbers, metavar="0-4", help="[default: all]")
@options.several(
    "--seed",
    parse=parsing.numbers,
    metavar="NUMBERS",
    help="Pretraining seeds, as 0-2; pages show the mean over them.  [default: 0]",
)
@click.option("--tier", type=click.Choice(TIERS), default="quick", show_default=True, help="The budget.")
@options.settings("A setting of the method; protocol.KEY=VALUE goes off protocol.")
@options.data_root
@options.out
@options.device
@click.option("--dry-run", is_flag=True, help="Show what would run and what is done already.")
@options.as_json("per record")
@click.pass_context
def run(
    ctx: click.Context,
    study: str | None,
    settings: Mapping[str, Any],
    data_root: Path,
    out: Path,
    device: str,
    dry_run: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Train a method, evaluate it, record the results, and build the pages.

    Name either --method and --dataset, or a STUDY: a TOML file, or a study that ships with cervbench. Beside
    a study, the other options except --set choose among its runs. What is done already is not done again, and
    an interrupted run goes on where it stopped.
    """
    requests = _study(ctx, study) if study else _requests(settings, **asked)
    here = place.Place(data_root=data_root, out=out, device=device)
    refuse_foreign(out / "README.md")  # now, and not when all has been trained
    if dry_run:
        _show_plan(requests, here, as_json)
    else:
        _run(requests, here, as_json)


def _run(requests: Sequence[Request], here: place.Place, as_json: bool) -> None:
    """Do the runs and build the pages. A run that fails does not stop the others."""
    summary = _Summary()

    def failed(run: Run, error: Exception) -> None:
        if _of_a_folder_of(here, error):
            raise error
        summary.fail(run, error)

    with shown_on_stderr() as watch, stdout_alone() as records:
        for outcome in execute(requests, here, watch, failed=failed):
            tell(_as_json(outcome) if as_json else _in_words(outcome), records)
            summary.add(outcome)
    summary.warn()
    if summary.done:
        _build_pages(here)
    summary.close()


class _Summary:
    """Collects what became of the runs of a command, and says it on stderr and by the exit code."""

    def __init__(self) -> None:
        self.done: set[str] = set()
        """The ids of runs that have a record."""
        self._fresh = False
        self._failed: set[str] = set()
        self._asked_wrongly: set[str] = set()
        """Those of the failed runs that would fail again, however often they are tried."""
        self._messages: set[str] = set()

    def add(self, outcome: Outcome) -> None:
        self.done.add(outcome.record.run.id)
        self._fresh |= outcome.fresh

    def fail(self, run: Run, error: Exception) -> None:
        """Say it at once, and a message that was said before only as `the same`."""
        told = expected(error)
        message = told.message if told else "".join(format_exception(error)).rstrip()
        shown = "the same" if message in self._messages else message
        click.echo(f"Error: {_run_in_words(run)}: {shown}", err=True)
        self._messages.add(message)
        self._failed.add(run.id)
        if isinstance(error, UsageError):
            self._asked_wrongly.add(run.id)

    def warn(self) -> None:
        if not (self._fresh or self._failed):
            click.echo("all of it was done already; nothing was run", err=True)

    def close(self) -> None:
        """End the command with an error if a run failed."""
        if not self._failed:
            return
        told = f"{len(self._failed)} of {len(self.done | self._failed)} runs failed, as said above"
        if self._failed == self._asked_wrongly:
            raise WrongUsage(f"{told}; they cannot be done as they were asked for")
        raise Failed(f"{told}; the same command does what is missing")


def _of_a_folder_of(here: place.Place, error: Exception) -> bool:
    """Whether the output folder or the cache cannot be used (a full disk, say), which stops every run."""
    if not isinstance(error, OSError) or not isinstance(error.filename, str):
        return False
    path = Path(error.filename).resolve()
    return any(path.is_relative_to(folder.resolve()) for folder in (here.out, here.cache))


def _study(ctx: click.Context, study: str) -> tuple[Request, ...]:
    wanted = {}
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if ctx.get_parameter_source(name) is not ParameterSource.COMMANDLINE or name in BESIDE_A_STUDY:
            continue
        if name not in (*SEVERAL, *PARTS):
            raise click.UsageError(f"{parameter.opts[0]} has no place beside a study, which says what is run")
        wanted[name] = ctx.params[name]
    return Study.load(study).narrowed(wanted).requests


def _requests(settings: Mapping[str, Any], seed: tuple[int, ...] | None, **asked: Any) -> tuple[Request, ...]:
    for needed in ("method", "dataset"):
        if not asked[needed]:
            raise click.UsageError(f"--{needed} is missing; say --method and --dataset, or name a study")
    return tuple(Request(settings=settings, seed=one, **asked) for one in seed or (0,))


def _show_plan(requests: Sequence[Request], here: place.Place, as_json: bool) -> None:
    store = Store(here.out)
    with shown_on_stderr() as watch, stdout_alone() as lines:
        for planned in plan(requests, here, watch, plugins()):
            run = planned.run
            for one in planned.records:
                done = store.has(run.dataset.variant, one.id)
                if as_json:
                    line = {"id": one.id, "pretraining": run.id, "existed": done, "ratio": one.ratio}
                    asked = {"run": run, "evaluation": one.evaluation}
                    line |= {name: of.model_dump(mode="json", by_alias=True) for name, of in asked.items()}
                    click.echo(json.dumps(line), file=lines)
                else:
                    click.echo(
                        f"{_run_in_words(run)} · {one.evaluation.name} {one.ratio} %{_DONE if done else ''}",
                        file=lines,
                    )


_DONE = "  (done already)"


def _as_json(outcome: Outcome) -> str:
    record = outcome.record
    known = record.model_dump(mode="json", by_alias=True)
    line = {"id": record.id, "pretraining": record.run.id, "existed": not outcome.fresh, **known}
    return json.dumps(line, sort_keys=True)


def _in_words(outcome: Outcome) -> str:
    record = outcome.record
    told = f": {scores}" if (scores := _scores_in_words(record)) else ""
    return (
        f"{_run_in_words(record.run)} · {record.evaluation.name} {record.ratio} % "
        f"({record.labels.train} + {record.labels.val} labels){told}{'' if outcome.fresh else _DONE}"
    )


def _scores_in_words(record: Record) -> str:
    """The headline or, of an evaluation with a score of its own, its numbers."""
    if record.evaluation.schema_ != CLASSIFICATION_SCHEMA:
        numbers = {name: one for name, one in record.scores.items() if isinstance(one, int | float)}
        return ", ".join(f"{name} {one:.4g}" for name, one in numbers.items())
    score = record.scores[HEADLINE]
    return "" if score is None else f"{HEADLINE.replace('_', ' ')} {100 * score:.1f} %"


def _run_in_words(run: Run) -> str:
    """A run in words that tell it from the others of a study."""
    encoder = "" if run.backbone == NO_BACKBONE else f" {run.backbone} {run.init}"
    trained = f"{run.method.name}{encoder} seed {run.seed}"
    others = [f"{name} {json.dumps(value)}" for name, value in changed_settings(run, plugins()).items()]
    if run.protocol.off:
        others.append(f"off protocol: {', '.join(run.protocol.off)}")
    told = f" ({'; '.join(others)})" if others else ""
    return f"{run.dataset.variant} {run.protocol.tier} fold {run.fold} · {trained}{told}"


def _build_pages(here: place.Place) -> None:
    index, *_ = build(here.out, cache=here.cache)
    click.echo(f"pages are up to date: {index.resolve()}", err=True)
