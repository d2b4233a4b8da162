"""The whole way from a request to a record that anyone can rescore.

    study ─▶ runs ─▶ pack ─▶ fold ─▶ pretrain ─▶ predict ─▶ score ─▶ record ─▶ leaderboard

What is asked for is looked up in `resolve.py`, becomes runs in `runs.py` and records to be made in `plan.py`;
`answers.py` calls an evaluation; `training/` is behind `pretrained`. Here is the order in which they work.

torch is imported only where training begins, so that a request for records that exist is answered at once.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

from cervbench.answers import scores_of, table_of
from cervbench.host import observe_host
from cervbench.offered_code import code_hash, warn_of_records_of_other_code
from cervbench.place import Place
from cervbench.plan import PlannedRecord, PlannedRun, plan
from cervbench.plugin.manager import Plugins, plugins
from cervbench.plugin.problems import ContractError, in_words
from cervbench.records.record import LabelCount, PredictionsOfRecord, Record, Run
from cervbench.records.store import Store
from cervbench.records.table import content_hash, to_columns
from cervbench.runs import changed_settings, init_of
from cervbench.scoring.classification import revision_of_scores
from cervbench.scoring.task import Task
from cervbench.study import Request
from cervbench.training.memory import peak_memory, reset_peak_memory
from cervbench.watching import WatchStages, unwatched
from cervbench.weight_history import header, seen_before

if TYPE_CHECKING:
    import torch

    from cervbench.data.parts import Parts
    from cervbench.training.trained import Trained


@dataclass(frozen=True)
class Outcome:
    record: Record
    fresh: bool
    """False if the record existed already, as it is."""


def execute(
    requests: Sequence[Request],
    place: Place,
    watch: WatchStages = unwatched,
    found: Plugins | None = None,
    failed: Callable[[Run, Exception], None] | None = None,
) -> Iterator[Outcome]:
    """Carry out the requests, yielding each record; a record that exists already is not made again.

    Of several runs, one that fails is reported to `failed`, and the others go on. Without `failed`, or if
    there is only one run, the error is raised.
    """
    found = found or plugins()
    runs = list(plan(requests, place, watch, found))
    for number, planned in enumerate(runs, 1):
        counted = f"{number} of {len(runs)}, " if len(runs) > 1 else ""
        try:
            with _refusing_to_exit(planned.run):
                yield from _Work(planned, place, watch, found, counted).outcomes()
        except Exception as error:
            if failed is None or len(runs) == 1:
                raise
            failed(planned.run, error)


@dataclass
class _Work:
    """Carries out one run: pretrains once, then makes the records that are wanted and missing."""

    planned: PlannedRun
    place: Place
    watch: WatchStages
    plugins: Plugins
    counted: str
    """Which of the runs it is, for whoever watches."""

    @property
    def run(self) -> Run:
        return self.planned.run

    def outcomes(self) -> Iterator[Outcome]:
        self._store.write_folds(self.planned.dataset.manifest)
        done = self._done()  # refuses a damaged record before any work
        warn_of_records_of_other_code(
            [outcome.record for outcome in done], self._code, self._code_of_evaluations
        )
        if len(done) == len(self.planned.records):
            yield from done
            return
        with self.place.locked(self.run.id, lambda: self._say("waiting for another process")):
            done = self._done()  # the other process may have made them meanwhile
            yield from done if len(done) == len(self.planned.records) else self._carry_out()

    def _done(self) -> list[Outcome]:
        return [stored for wanted in self.planned.records if (stored := self._stored(wanted))]

    def _carry_out(self) -> Iterator[Outcome]:
        from cervbench.training.device import named_device

        device = named_device(self.place.device)
        self.plugins.notify("cervbench_run_started", run=self.run)
        error = ""
        try:
            yield from self._make(device)
        except GeneratorExit:  # whoever receives the records wants no more of them
            raise
        except BaseException as raised:
            error = in_words(raised)
            raise
        finally:
            self.plugins.notify("cervbench_run_ended", run=self.run, error=error)

    def _make(self, device: "torch.device") -> Iterator[Outcome]:
        """Make the records, between which torch is as whoever receives them left it."""
        from cervbench.data.parts import Parts
        from cervbench.training.device import working_on

        work = partial(working_on, device, self.place.threads)
        with work():
            parts = Parts.of(self.planned.dataset, self.run.fold, self.planned.resolved.protocol, device)
            init = self._observed_of_init()  # now, while the file is the one that was planned with
            trained, observed = self._pretrain(parts, device)
        for wanted in self.planned.records:
            with work():
                outcome = self._stored(wanted) or self._evaluate(wanted, parts, trained, {**observed, **init})
                trained.workshop.clear(wanted.id)  # of a stored one, what a kill left
                if outcome.fresh:
                    self.plugins.notify("cervbench_record_written", run=self.run, record=outcome.record)
            yield outcome

    def _pretrain(self, parts: "Parts", device: "torch.device") -> tuple["Trained", Mapping[str, Any]]:
        def watch(stage: str, step: int, steps: int, values: Mapping[str, float]) -> None:
            self._say(stage, step, steps, values)
            told = {"stage": stage, "step": step, "steps": steps, "values": values}
            self.plugins.notify("cervbench_step", run=self.run, **told)

        return pretrained(self.planned, parts, self.place, device, watch)

    def _evaluate(
        self, wanted: PlannedRecord, parts: "Parts", trained: "Trained", observed: Mapping[str, Any]
    ) -> Outcome:
        """Predict the test images once, join the truth, score the table in its stored form, store both."""
        self._say(f"{wanted.entry.name} at {wanted.ratio} %")
        reset_peak_memory(trained.device)
        started = time.perf_counter()
        labelled = wanted.labelled(parts)
        table = table_of(wanted.entry, wanted.settings, wanted.begin(trained), labelled, parts)
        scores = scores_of(wanted.entry, to_columns(table), self._task)
        seconds = time.perf_counter() - started
        record = Record.sealed(
            run=self.run,
            evaluation=wanted.evaluation,
            ratio=wanted.ratio,
            task=self._task,
            labels=LabelCount(train=len(labelled[0].train), val=len(labelled[0].val)),
            predictions=PredictionsOfRecord(hash=content_hash(table), rows=table.num_rows),
            scores=scores,
            scoring=revision_of_scores(wanted.entry.offer.schema),
            observed={
                **observed,
                **observe_host(trained.device, {wanted.entry.package: wanted.entry.version}),
                "code": self._code,
                "evaluation_code": self._code_of_evaluations[wanted.entry.package, wanted.entry.name],
                "chosen": sorted(changed_settings(self.run, self.plugins)),
                "draws": len(labelled),
                **({"pooling": trained.pooling(wanted.entry.offer.frozen)} if trained.method.encoder else {}),
                "evaluation_seconds": round(seconds, 3),
                "peak_memory_bytes": peak_memory(trained.device),
            },
        )
        variant = self.run.dataset.variant
        self._store.write_predictions(variant, wanted.id, table)
        self._store.columns(variant, wanted.id, record.predictions.hash)  # refused unless read back as scored
        self._store.write(record)
        return Outcome(record, fresh=True)

    @cached_property
    def _task(self) -> Task:
        return Task.of(self.planned.dataset.card)

    def _observed_of_init(self) -> dict[str, int]:
        """How many test images its initial weights were trained on, if they come from a file that says so."""
        weights = self.planned.resolved.init_file
        seen = seen_before(weights, self.planned.dataset, self.run.fold) if weights else None
        return {} if seen is None else {"init_tests_seen": seen}

    @cached_property
    def _code(self) -> str:
        return self.planned.resolved.code

    @cached_property
    def _code_of_evaluations(self) -> dict[tuple[str, str], str]:
        """By package and name; of the files as they are when the run begins, for that is what is imported."""
        entries = [entry for entry, _ in self.planned.resolved.evaluations]
        return {(entry.package, entry.name): code_hash(entry.offer) for entry in entries}

    @property
    def _store(self) -> Store:
        return Store(self.place.out)

    def _stored(self, wanted: PlannedRecord) -> Outcome | None:
        variant = self.run.dataset.variant
        if not self._store.has(variant, wanted.id):
            return None
        record = self._store.record(self._store.record_path(variant, wanted.id))
        if record.task != self._task or record.scoring < revision_of_scores(record.evaluation.schema_):
            return Outcome(self._scored_again(wanted, record), fresh=True)
        return Outcome(record, fresh=False)

    def _scored_again(self, wanted: PlannedRecord, record: Record) -> Record:
        """Its card says something else of its classes now, or metrics are newer; predictions are as good."""
        self._say(f"{wanted.entry.name} at {wanted.ratio} %: scored again, by card and metrics as they are")
        columns = self._store.columns(record.run.dataset.variant, wanted.id, record.predictions.hash)
        scores = scores_of(wanted.entry, columns, self._task)
        scoring = revision_of_scores(record.evaluation.schema_)
        record = Record.sealed(**{**dict(record), "task": self._task, "scores": scores, "scoring": scoring})
        self._store.write(record)
        return record

    def _say(
        self, doing: str, step: int = 0, steps: int = 0, values: Mapping[str, float] | None = None
    ) -> None:
        seed = f", seed {self.run.seed}" if self.counted or self.run.seed else ""
        run = f"{self.run.method.name} on {self.run.dataset.variant}, fold {self.run.fold}{seed}"
        self.watch(f"{self.counted}{run}: {doing}", step, steps, values or {})


def pretrained(
    planned: PlannedRun, parts: "Parts", place: Place, device: "torch.device", watch: WatchStages
) -> tuple["Trained", Mapping[str, Any]]:
    """The trained method of a run, and what was observed in training; loaded if kept from an earlier run."""
    from cervbench.training.pretrain import pretrain
    from cervbench.training.weight_file import WeightsError
    from cervbench.training.workshop import Workshop

    resolved, run = planned.resolved, planned.run
    if init_of(resolved) != run.init:  # hours may have passed since it was planned
        raise WeightsError(
            f"{resolved.init_file} is another file than when this run was planned; give the command again, "
            "and leave the file as it is meanwhile"
        )
    host = observe_host(device, {method.package: method.version for method in resolved.used})
    weights_say = header(run, resolved.code, planned.dataset, resolved.init_file)
    folder = place.pretraining(run.id)
    workshop = Workshop(folder, device, place.checkpoint_seconds, watch, host, weights_say)
    return pretrain(planned.recipe, parts.train, parts.everything, workshop)


@contextmanager
def _refusing_to_exit(run: Run) -> Iterator[None]:
    """Makes an error of `sys.exit()` in a plugin, which would end all runs with 0, as if they were done."""
    try:
        yield
    except SystemExit as error:
        last = extract_tb(error.__traceback__)[-1]
        raise ContractError(
            f"sys.exit is called at {last.filename}:{last.lineno}, in a run of method {run.method.name}; "
            "raise an error there that says what is wrong"
        ) from error
