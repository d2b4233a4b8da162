"""The way through the house: from what is asked to a record that anyone can rescore.

    study ─▶ runs ─▶ pack ─▶ fold ─▶ pretrain ─▶ predict ─▶ score ─▶ record ─▶ leaderboard

torch is imported where training begins, so that asking for what is done already answers at once.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from cervbench.data.dataset import Dataset, open_dataset
from cervbench.observed import observe_host, peak_memory, reset_peak_memory
from cervbench.place import Place
from cervbench.plugin.manager import Plugins, plugins
from cervbench.records.record import LabelCount, Predictions, Record, Run
from cervbench.records.store import Store
from cervbench.records.table import content_hash, to_columns
from cervbench.runs import Due, Understood, due, runs, understand
from cervbench.scoring.task import Task
from cervbench.study import Request

if TYPE_CHECKING:
    from cervbench.data.parts import Parts
    from cervbench.training.trained import Trained

Progress = Callable[[str, int, int, Mapping[str, float]], None]
"""Called with what is being done, the step, the steps, and values such as loss and images_per_second."""


@dataclass(frozen=True)
class Outcome:
    record: Record
    fresh: bool
    """False when the record was there already."""


def execute(
    requests: Sequence[Request],
    place: Place,
    progress: Progress = lambda doing, step, steps, values: None,
    found: Plugins | None = None,
) -> Iterator[Outcome]:
    """Everything that is asked, a record at a time; what is done is recognised and not done again."""
    found = found or plugins()
    for asked, dataset, run in list(plan(requests, place, progress, found)):
        store = Store(place.out)
        wanted = due(asked, run)
        if all(store.has(run.dataset.variant, one.id) for one in wanted):
            yield from (Outcome(store.read(run.dataset.variant, one.id), fresh=False) for one in wanted)
        else:
            with _sole(run, place, progress):
                yield from _work(asked, dataset, run, wanted, store, place, progress, found)


def plan(
    requests: Sequence[Request], place: Place, progress: Progress, found: Plugins
) -> Iterator[tuple[Understood, Dataset, Run]]:
    """The runs that requests ask for, a request at a time; a list of them has understood every request."""
    for asked in [understand(request, found) for request in requests]:
        dataset = open_dataset(
            asked.card,
            place.data_root,
            place.cache,
            asked.protocol,
            lambda n, of, card=asked.card: progress(f"pack {card.name}", n, of, {}),  # type: ignore[misc]
        )
        for run in runs(asked, dataset):
            yield asked, dataset, run


def _work(
    asked: Understood,
    dataset: Dataset,
    run: Run,
    wanted: Sequence[Due],
    store: Store,
    place: Place,
    progress: Progress,
    found: Plugins,
) -> Iterator[Outcome]:
    """One run: pretrain once, then predict and score what is wanted and not there yet."""
    from cervbench.data.parts import part
    from cervbench.training.device import use

    device = use(place.device, place.threads)
    reset_peak_memory(device)
    found.watch("cervbench_run_started", run=run)
    parts = part(dataset, run.fold, asked.protocol, device)
    trained, observed = _pretrain(asked, run, parts, place, device, progress, found)
    for one in wanted:
        if store.has(run.dataset.variant, one.id):
            yield Outcome(store.read(run.dataset.variant, one.id), fresh=False)
            continue
        progress(f"{_name(run)}: {one.entry.name} at {one.ratio} %", 0, 0, {})
        record = _evaluate(one, run, dataset, parts, trained, observed, store)
        store.write(record)
        found.watch("cervbench_record_written", run=run, record=record)
        yield Outcome(record, fresh=True)


def _pretrain(
    asked: Understood,
    run: Run,
    parts: "Parts",
    place: Place,
    device: Any,
    progress: Progress,
    found: Plugins,
) -> tuple["Trained", Mapping[str, Any]]:
    from cervbench.training.pretrain import Recipe, Workshop, pretrain

    recipe = Recipe(
        offer=asked.method.offer,
        config=asked.config,
        backbone=asked.backbone,
        backbone_offer=asked.backbone_offer,
        init=asked.request.init,
        image_size=asked.protocol.image_size,
        pretext=asked.protocol.pretext,
        seed=run.seed,
        fold=run.fold,
    )

    def watch(stage: str, step: int, steps: int, values: Mapping[str, float]) -> None:
        progress(f"{_name(run)}: {stage}", step, steps, values)
        found.watch("cervbench_step", run=run, stage=stage, step=step, values=values)

    host = observe_host(device, {asked.method.package: asked.method.version})
    workshop = Workshop(_folder(run, place), device, place.checkpoint_seconds, watch, host)
    return pretrain(recipe, parts.train.isolated(), parts.everything, workshop)


def _evaluate(
    one: Due,
    run: Run,
    dataset: Dataset,
    parts: "Parts",
    trained: "Trained",
    observed: Mapping[str, Any],
    store: Store,
) -> Record:
    """Predict the test images once, join the truth, store the table, and score it as read back."""
    started = time.perf_counter()
    labelled = parts.labelled(one.ratio, getattr(one.settings, "draws", None))
    predict, score = one.entry.offer.load_predict(), one.entry.offer.load_score()
    trained.seed(one.entry.name, one.ratio)
    answers = predict(trained.at(one.id), labelled, parts.test, one.settings)
    store.write_predictions(
        run.dataset.variant, one.id, parts.with_truth(answers, [x.draw for x in labelled])
    )
    table = store.table(run.dataset.variant, one.id)
    task = task_of(dataset)
    return Record(
        run=run,
        evaluation=one.named,
        ratio=one.ratio,
        task=task,
        labels=LabelCount(train=len(labelled[0].train), val=len(labelled[0].val)),
        predictions=Predictions(hash=content_hash(table), rows=table.num_rows),
        scores=score(to_columns(table), task),
        observed={
            **observed,
            **observe_host(trained.device, {one.entry.package: one.entry.version}),
            "draws": len(labelled),
            "evaluation_seconds": round(time.perf_counter() - started, 3),
            "peak_memory_bytes": peak_memory(trained.device),
        },
    )


def task_of(dataset: Dataset) -> Task:
    card = dataset.card
    return Task(
        classes=card.classes,
        abnormal=tuple(name for name in card.classes if name in card.abnormal),
        severity=None if card.severity is None else dict(card.severity),
        groups_known=card.groups_known,
    )


def _name(run: Run) -> str:
    return f"{run.method.name} on {run.dataset.variant}, fold {run.fold}"


@contextmanager
def _sole(run: Run, place: Place, progress: Progress) -> Iterator[None]:
    """Nobody else works on this run meanwhile, neither in this cache nor for this output folder."""
    locks = [_folder(run, place).with_suffix(".lock"), place.out / ".locks" / f"{run.id}.lock"]
    with ExitStack() as held:
        for path in locks:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                progress(f"{_name(run)}: waiting for another process", 0, 0, {})
                lock.acquire()
            held.callback(lock.release)
        yield


def _folder(run: Run, place: Place) -> Path:
    """Of one pretraining: its checkpoints, its weights, and the lock beside it."""
    folder = place.cache / "pretrainings" / run.id
    folder.mkdir(parents=True, exist_ok=True)
    return folder
