"""How fast records become pages: write many, build cold and then from what was kept; seconds and memory.

    python scripts/many_records.py --records 3600
    python scripts/many_records.py --records 100000 --shared 8

The records are of Herlev's frozen folds: methods × seeds × backbones × evaluations × ratios × folds, each
with predictions of its own, drawn at random. With `--shared K` there are K tables a fold and number of draws,
linked to by many records, no two cells by the same five: every cell is still computed and kept for
itself, but a cold build finds its few files in memory. What was kept is found without any predictions.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import cache, partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from cervbench.data.cards.herlev import EXPECTED, SEVERITY
from cervbench.protocol import protocol
from cervbench.protocol.folds import FOLDS, Manifest, frozen
from cervbench.protocol.labels import uncovered
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
from cervbench.records.table import KEYS, canonical, content_hash, to_columns
from cervbench.scoring.classification import classification
from cervbench.scoring.task import Task
from cervbench.training.memory import resident_peak

RULES = protocol.load("quick")
TASK = Task(
    classes=tuple(EXPECTED), abnormal=tuple(name for name in EXPECTED if SEVERITY[name]), severity=SEVERITY
)
BACKBONES = ("resnet18", "vgg16", "vit_small_patch16_224")
SEEDS = (0, 1, 2)
CELLS = tuple(product(SEEDS, BACKBONES, ("linear", "knn", "finetune"), RULES.labels.ratios))
"""What there is of one method."""


@cache
def manifest() -> Manifest:
    return frozen("herlev")


@cache
def test_images(fold: int) -> dict[str, np.ndarray]:
    rows = manifest().fold(fold).test
    return {
        "image": np.array([manifest().images[row] for row in rows]),
        "group": np.array([manifest().groups[row] for row in rows]),
        "label": np.array([manifest().labels[row] for row in rows]),
    }


@cache
def label_count(fold: int, ratio: int) -> LabelCount:
    parts = manifest().fold(fold)
    orders = manifest().orders[:, 0]
    val = parts.val if ratio >= RULES.labels.val_from else parts.val[:0]
    train, val = (uncovered(manifest().labels, orders, rows, ratio) for rows in (parts.train, val))
    return LabelCount(train=len(train), val=len(val))


def drawn(fold: int, draws: int, number: int) -> dict[str, np.ndarray]:
    """Probabilities that lean to the truth, more or less so from number to number."""
    known, rng = test_images(fold), np.random.default_rng([fold, draws, number])
    truth = np.array([TASK.classes.index(name) for name in known["label"]])
    of_image = rng.normal(size=(len(truth), len(TASK.classes)))
    logits = (0.5 + number % 8 / 5) * np.eye(len(TASK.classes))[truth] + of_image
    logits = logits + 0.7 * rng.normal(size=(draws, *of_image.shape))
    chances = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    columns = {name: np.tile(values, draws) for name, values in known.items()}
    columns["draw"] = np.repeat(np.arange(draws), len(truth))
    return columns | {f"p_{name}": chances[:, :, k].ravel() for k, name in enumerate(TASK.classes)}


def write_cells(out: Path, shared: int, cells: range, records: int) -> None:
    """The records of some cells, all their folds; `records` is where the last cell ends."""
    store = Store(out)
    tables: dict[tuple[int, int, int], tuple[Path, PredictionsOfRecord, dict[str, Any]]] = {}
    for cell in cells:
        for fold in range(min(FOLDS, records - cell * FOLDS)):
            record = unscored(cell, fold)
            path = store.predictions_path("herlev", record.id)
            number = cell // shared**fold % shared if shared else cell
            key = (fold, RULES.labels.draws_at(record.ratio), number)
            if key in tables:
                first, predictions, scores = tables[key]
                os.link(first, path)
            else:
                table = canonical(drawn(*key))
                pq.write_table(table, path, use_dictionary=[*KEYS], compression="zstd")
                predictions = PredictionsOfRecord(hash=content_hash(table), rows=len(table))
                scores = classification(to_columns(table), TASK)
                if shared:
                    tables[key] = path, predictions, scores
            scored = Record.sealed(**{**dict(record), "predictions": predictions, "scores": scores})
            text = json.dumps(scored.model_dump(mode="json", by_alias=True), indent=1, sort_keys=True)
            store.record_path("herlev", record.id).write_text(text + "\n")


def unscored(cell: int, fold: int) -> Record:
    number, place = divmod(cell, len(CELLS))
    seed, backbone, evaluation, ratio = CELLS[place]
    pretext = number > 0
    return Record.sealed(
        run=Run(
            method=MethodOfRun(
                name=f"method-{number:03d}" if pretext else "supervised",
                package="cervbench-made" if pretext else "cervbench",
                revision=1,
                config={"temperature": 0.5, "projector": [2048, 128]} if pretext else {},
                pretext=pretext,
            ),
            dataset=DatasetOfRun(
                name="herlev", variant="herlev", manifest=manifest().hash, pack="ded7cd328d2368d7", folds=5
            ),
            backbone=backbone,
            init="random",
            fold=fold,
            seed=seed,
            protocol=ProtocolOfRun(
                version=RULES.version,
                tier=RULES.tier,
                image_size=RULES.image_size,
                pretext=BudgetOfRun(**RULES.pretext.model_dump()) if pretext else None,
                rules=1,
            ),
        ),
        evaluation=EvaluationOfRecord(
            name=evaluation,
            package="cervbench",
            revision=1,
            settings=dict(RULES.evaluations[evaluation]),
            schema="classification/1",
            frozen=evaluation != "finetune",
        ),
        ratio=ratio,
        task=TASK,
        labels=label_count(fold, ratio),
        predictions=PredictionsOfRecord(hash="", rows=0),
        scores={},
        observed={
            "commit": "0" * 12,
            "device": "cpu",
            "draws": RULES.labels.draws_at(ratio),
            "evaluation_seconds": 0.1 + fold / 7,
            "peak_memory_bytes": 1980432384,
            "pooling": "the mean of the last map",
            "precision": "bf16",
            "pretext_images": 51360 * pretext,
            "pretext_forwarded": 51360 * pretext,
            "pretext_seconds": (312.5 + fold) * pretext,
            "pretext_steps": 200 * pretext,
            "threads": 2,
            "versions": dict.fromkeys(("cervbench", "numpy", "pyarrow", "python", "torch"), "1.2.3"),
        },
    )


def write(out: Path, records: int, shared: int) -> None:
    for folder in ("records", "predictions"):
        (out / folder / "herlev").mkdir(parents=True)
    cells = range(-(-records // FOLDS))
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        parts = [cells[start : start + 200] for start in range(0, len(cells), 200)]
        list(pool.map(partial(write_cells, out, shared, records=records), parts))


def build(out: Path, home: Path) -> tuple[float, int]:
    """Seconds of the whole command, and the most that it and its workers held of memory, in bytes."""
    command = [sys.executable, "-m", "cervbench", "leaderboard", "build", "--records", str(out)]
    begun = time.perf_counter()
    environment = {**os.environ, "CERVBENCH_CACHE": str(home / "cache")}
    command += ["--pages", str(home / "pages")]
    building = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    peaks: dict[int, int] = {}
    while building.poll() is None:
        for process in family(building.pid):
            peaks[process] = max(peaks.get(process, 0), resident_peak(process))
        time.sleep(0.02)
    if building.returncode:
        sys.exit("the build failed")
    return time.perf_counter() - begun, sum(peaks.values())


def family(process: int) -> Iterator[int]:
    """A process and all that it started."""
    yield process
    with suppress(OSError):
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            for child in children.read_text().split():
                yield from family(int(child))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=1800)
    parser.add_argument("--shared", type=int, default=0, help="tables a fold; 0: one a record")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        home = Path(folder)
        begun = time.perf_counter()
        write(home / "out", asked.records, asked.shared)
        tables = f"{asked.shared} tables a fold, linked to" if asked.shared else "a table each"
        print(f"{asked.records:,} records, {tables}: written in {time.perf_counter() - begun:.1f} s")
        for how in ("cold", "kept", "kept"):
            seconds, memory = build(home / "out", home)
            speed = asked.records / seconds
            print(
                f"{how}: {seconds:.2f} s, {speed:,.0f} records/s, at most {memory / 2**20:,.0f} MiB resident"
            )


if __name__ == "__main__":
    main()
