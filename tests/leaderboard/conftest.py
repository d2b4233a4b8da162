"""Records as a run would write them, from random predictions of a known accuracy."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cervbench.protocol import protocol
from cervbench.records.record import (
    BudgetOfRun,
    DatasetOfRun,
    EvaluationOfRecord,
    LabelCount,
    MethodOfRun,
    PredictionsOfRecord,
    ProtocolOfRun,
    Record,
    Run,
)
from cervbench.records.store import Store
from cervbench.records.table import canonical, content_hash, read_table, to_columns
from cervbench.scoring.classification import classification
from cervbench.scoring.task import Task

Write = Callable[..., list[Record]]

TASK = Task(
    classes=("normal", "light", "severe"),
    abnormal=("light", "severe"),
    severity={"normal": 0, "light": 1, "severe": 2},
)
FOLDS = 5


def changed(record: Record, **entries: object) -> Record:
    """The record with other entries, sealed afresh."""
    return Record.sealed(**{**dict(record), **entries})


@pytest.fixture(name="changed")
def changed_fixture() -> Callable[..., Record]:
    return changed


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CERVBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def write(out: Path) -> Write:
    """Writes all records of one row: `write("simclr", 0.6, ratios=(10,), folds=(0, 1))`."""
    return partial(write_row, out)


def columns(
    accuracy: float, fold: int, draws: int, seed: int, task: Task = TASK, groups: int = 12, per_group: int = 4
) -> dict[str, np.ndarray]:
    """Images of a fold, in groups; each is predicted right with the given chance."""
    images = np.array([f"{fold}-{group:02d}-{i}" for group in range(groups) for i in range(per_group)])
    group = np.array([name.rsplit("-", 1)[0] for name in images])
    truth = np.arange(len(images)) % len(task.classes)
    rng = np.random.default_rng([seed, fold])
    parts = []
    for _ in range(draws):
        right = rng.random(len(images)) < accuracy
        found = np.where(
            right, truth, (truth + rng.integers(1, len(task.classes), len(images))) % len(task.classes)
        )
        sure = rng.uniform(0.4, 0.9, len(images))[:, None]
        chosen = np.eye(len(task.classes))[found]
        parts.append(sure * chosen + (1 - sure) / len(task.classes))
    table: dict[str, np.ndarray] = {
        "image": np.tile(images, draws),
        "group": np.tile(group, draws),
        "label": np.tile(np.array(task.classes, dtype=object)[truth], draws),
        "draw": np.repeat(np.arange(draws), len(images)),
    }
    return table | {f"p_{name}": np.concatenate(parts)[:, k] for k, name in enumerate(task.classes)}


def run_of(
    method: str,
    fold: int,
    variant: str = "cells",
    tier: str = "quick",
    pretext: bool = True,
    backbone: str = "resnet18",
    init: str = "random",
    seed: int = 0,
    off: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    synthetic: bool = False,
    training_rules: int = 1,
    package: str | None = None,
) -> Run:
    """`package` is by default the one that has a method of this name."""
    rules = protocol.load(tier, off)
    return Run(
        method=MethodOfRun(
            name=method,
            package=package or (f"cervbench-{method}" if pretext else "cervbench"),
            revision=1,
            config=config or {},
            pretext=pretext,
        ),
        dataset=DatasetOfRun(
            name="cells", variant=variant, manifest="abcd", folds=FOLDS, pack="ef01", synthetic=synthetic
        ),
        backbone=backbone,
        init=init,
        fold=fold,
        seed=seed,
        protocol=ProtocolOfRun(
            rules=training_rules,
            version=rules.version,
            tier=tier,
            image_size=rules.image_size,
            pretext=BudgetOfRun(**rules.pretext.model_dump()) if pretext else None,
            off=rules.off,
        ),
    )


def draws_of(evaluation: EvaluationOfRecord, ratio: int) -> int:
    """As many as a run would make."""
    return 1 if ratio == 100 else evaluation.settings.get("draws", 5)


def evaluation_of(
    name: str = "linear",
    tier: str = "quick",
    schema: str = "classification/1",
    package: str = "cervbench",
) -> EvaluationOfRecord:
    return EvaluationOfRecord(
        name=name,
        package=package,
        revision=1,
        settings=dict(protocol.load(tier).evaluations.get(name, {})),
        schema=schema,
        frozen=name != "finetune",
    )


def write_row(
    out: Path,
    method: str = "simclr",
    accuracy: float = 0.6,
    ratios: Iterable[int] = (10, 100),
    folds: Iterable[int] = range(FOLDS),
    evaluation: str = "linear",
    task: Task = TASK,
    schema: str = "classification/1",
    groups: int = 12,
    evaluated_by: str = "cervbench",
    observed: Mapping[str, Any] | None = None,
    **of_run: Any,
) -> list[Record]:
    """All records of one row, with their predictions, in an output folder."""
    store, written = Store(out), []
    described = evaluation_of(evaluation, of_run.get("tier", "quick"), schema, evaluated_by)
    for fold in folds:
        run = run_of(method, fold, **of_run)
        for ratio in ratios:
            draws = draws_of(described, ratio)
            random_seed = sum(map(ord, method)) + ratio + of_run.get("seed", 0)
            made = columns(accuracy, fold, draws, random_seed, task, groups)
            record = Record.sealed(
                run=run,
                evaluation=described,
                ratio=ratio,
                task=task,
                labels=LabelCount(train=ratio + fold % 2, val=0 if ratio < 10 else 3),
                predictions=PredictionsOfRecord(hash="", rows=0),
                scores={},
                observed={
                    "pretext_forwarded": 1000 * run.method.pretext,
                    "pretext_seconds": 90.0 + fold,
                    "device": "cpu",
                    "precision": "bf16",
                    **(observed or {}),
                },
            )
            variant = run.dataset.variant
            store.write_predictions(variant, record.id, canonical(made))
            table = read_table(store.predictions_path(variant, record.id))
            scored = changed(
                record,
                predictions=PredictionsOfRecord(hash=content_hash(table), rows=len(table)),
                scores=classification(to_columns(table), task),
            )
            store.write(scored)
            written.append(scored)
    return written
