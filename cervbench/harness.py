"""The way through the house: from what is asked to a record that anyone can rescore.

    study ─▶ runs ─▶ pack ─▶ fold ─▶ pretrain ─▶ predict ─▶ score ─▶ record ─▶ leaderboard

torch is imported where training begins, so that asking for what is done already answers at once.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

from cervbench.host import observe_host
from cervbench.method_code import code_hash, warn_of_records_of_other_code
from cervbench.place import Place
from cervbench.plan import PlannedRecord, PlannedRun, plan
from cervbench.plugin.manager import Plugins, plugins
from cervbench.plugin.problems import AnswerError, ContractError
from cervbench.records.record import LabelCount, PredictionsOfRecord, Record, Run
from cervbench.records.store import Store
from cervbench.records.table import content_hash
from cervbench.runs import changed_settings, name_init, task_of
from cervbench.study import Request
from cervbench.training.memory import peak_memory, reset_peak_memory
from cervbench.watching import WatchStages, unwatched
from cervbench.weight_history import header, trained_on

if TYPE_CHECKING:
    import torch

    from cervbench.data.parts import Parts
    from cervbench.training.trained import Trained


@dataclass(frozen=True)
class Outcome:
    record: Record
    fresh: bool
    """False when the record was there already."""


def execute(
    requests: Sequence[Request],
    place: Place,
    progress: WatchStages = unwatched,
    found: Plugins | None = None,
    failed: Callable[[Run, Exception], None] | None = None,
) -> Iterator[Outcome]:
    """Everything that is asked, a record at a time; what is done is recognised and not done again.

    Where there are several runs, `failed` is told of one that fails, and the others go on; without it, or of
    a run alone, the error is raised.
    """
    found = found or plugins()
    runs = list(plan(requests, place, progress, found))
    for planned in runs:
        try:
            with _refusing_to_exit(planned.run):
                yield from _Work(planned, place, progress, found).outcomes()
        except Exception as error:
            if failed is None or len(runs) == 1:
                raise
            failed(planned.run, error)


@dataclass
class _Work:
    """One run: pretrain once, then predict and score what is wanted and not there yet."""

    planned: PlannedRun
    place: Place
    progress: WatchStages
    plugins: Plugins

    @property
    def run(self) -> Run:
        return self.planned.run

    def outcomes(self) -> Iterator[Outcome]:
        self._store.write_folds(self.planned.dataset.manifest)
        done = self._done()  # refuses a damaged one at once
        warn_of_records_of_other_code([outcome.record for outcome in done], self._code)
        if len(done) == len(self.planned.records):
            yield from done
            return
        with self.place.locked(self.run.id, lambda: self._say("waiting for another process")):
            done = self._done()  # who was waited for may have done it
            yield from done if len(done) == len(self.planned.records) else self._carry_out()

    def _done(self) -> list[Outcome]:
        return [stored for wanted in self.planned.records if (stored := self._stored(wanted))]

    def _carry_out(self) -> Iterator[Outcome]:
        from cervbench.data.parts import Parts
        from cervbench.training.device import use

        device = use(self.place.device, self.place.threads)
        self.plugins.watch("cervbench_run_started", run=self.run)
        parts = Parts.of(self.planned.dataset, self.run.fold, self.planned.resolved.protocol, device)
        trained, observed = self._pretrain(parts, device)
        for wanted in self.planned.records:
            if stored := self._stored(wanted):
                trained.at(wanted.id).clear_checkpoints()  # a kill came between record and clearing
                yield stored
                continue
            self._say(f"{wanted.entry.name} at {wanted.ratio} %")
            record = self._evaluate(wanted, parts, trained, observed)
            trained.at(wanted.id).clear_checkpoints()
            self.plugins.watch("cervbench_record_written", run=self.run, record=record)
            yield Outcome(record, fresh=True)

    def _pretrain(self, parts: "Parts", device: "torch.device") -> tuple["Trained", Mapping[str, Any]]:
        def watch(stage: str, step: int, steps: int, values: Mapping[str, float]) -> None:
            self._say(stage, step, steps, values)
            told = {"stage": stage, "step": step, "steps": steps, "values": values}
            self.plugins.watch("cervbench_step", run=self.run, **told)

        return pretrained(self.planned, parts, self.place, device, watch)

    def _evaluate(
        self, wanted: PlannedRecord, parts: "Parts", trained: "Trained", observed: Mapping[str, Any]
    ) -> Record:
        """Predict the test images once, join the truth, score the table as it is stored, and store it."""
        reset_peak_memory(trained.device)
        started = time.perf_counter()
        labelled = wanted.labelled(parts)
        task = task_of(self.planned.dataset)
        with _blamed_on(wanted):
            table = wanted.table(trained, labelled, parts)
            scores = wanted.scores(table, task)
        seconds = time.perf_counter() - started
        record = Record.sealed(
            run=self.run,
            evaluation=wanted.evaluation,
            ratio=wanted.ratio,
            task=task,
            labels=LabelCount(train=len(labelled[0].train), val=len(labelled[0].val)),
            predictions=PredictionsOfRecord(hash=content_hash(table), rows=table.num_rows),
            scores=scores,
            observed={
                **observed,
                **self._observed_of_init,
                **observe_host(trained.device, {wanted.entry.package: wanted.entry.version}),
                "code": self._code,
                "chosen": sorted(changed_settings(self.run, self.plugins)),
                "draws": len(labelled),
                "evaluation_seconds": round(seconds, 3),
                "peak_memory_bytes": peak_memory(trained.device),
            },
        )
        self._store.write_predictions(self.run.dataset.variant, wanted.id, table)
        self._store.write(record)
        return record

    @cached_property
    def _observed_of_init(self) -> dict[str, list[int]]:
        """The folds that it has seen already, where it begins from a file that says so."""
        resolved = self.planned.resolved
        seen = resolved.init_file and trained_on(resolved.init_file, resolved.card, self.plugins)
        return {"init_trained_on": sorted({fold for _, fold in seen})} if seen else {}

    @cached_property
    def _code(self) -> str:
        return code_hash(self.planned.resolved.used)

    @property
    def _store(self) -> Store:
        return Store(self.place.out)

    def _stored(self, wanted: PlannedRecord) -> Outcome | None:
        variant = self.run.dataset.variant
        if not self._store.has(variant, wanted.id):
            return None
        return Outcome(self._store.record(self._store.record_path(variant, wanted.id)), fresh=False)

    def _say(
        self, doing: str, step: int = 0, steps: int = 0, values: Mapping[str, float] | None = None
    ) -> None:
        run = f"{self.run.method.name} on {self.run.dataset.variant}, fold {self.run.fold}"
        self.progress(f"{run}: {doing}", step, steps, values or {})


def pretrained(
    planned: PlannedRun, parts: "Parts", place: Place, device: "torch.device", watch: WatchStages
) -> tuple["Trained", Mapping[str, Any]]:
    """The trained method of a run and what was observed on the way; loaded where they are kept."""
    from cervbench.training.initial_weights import WeightsError
    from cervbench.training.pretrain import pretrain
    from cervbench.training.workshop import Workshop

    resolved, run = planned.resolved, planned.run
    if name_init(resolved) != run.init:  # hours may lie between the two
        raise WeightsError(
            f"{resolved.init_file} is another file than when this run was planned; give the command again, "
            "and leave the file as it is meanwhile"
        )
    host = observe_host(device, {method.package: method.version for method in resolved.used})
    folder, weights_say = place.pretraining(run.id), header(run, resolved.used, resolved.init_file)
    workshop = Workshop(folder, device, place.checkpoint_seconds, watch, host, weights_say)
    return pretrain(planned.recipe, parts.train, parts.everything, workshop)


@contextmanager
def _refusing_to_exit(run: Run) -> Iterator[None]:
    """A `sys.exit()` in a plugin would end all that is asked, with 0 as if it were done."""
    try:
        yield
    except SystemExit as error:
        last = extract_tb(error.__traceback__)[-1]
        raise ContractError(
            f"sys.exit is called at {last.filename}:{last.lineno}, in a run of method {run.method.name}; "
            "raise an error there that says what is wrong"
        ) from error


@contextmanager
def _blamed_on(wanted: PlannedRecord) -> Iterator[None]:
    """Whatever is wrong with an answer is told with the name of the package that gave it."""
    try:
        yield
    except AnswerError as error:
        entry = wanted.entry
        raise AnswerError(
            f"evaluation {entry.name} of package {entry.package} {entry.version}: {error}. "
            "That is for its authors to mend; until then leave it out with --eval"
        ) from error
