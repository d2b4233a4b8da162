"""Kill a run with `kill -9` at ten random moments, resume it, and compare it with an undisturbed one.

On the processor: a GPU adds in an order of its own each time.

CERVBENCH_DATA=../shared/data python scripts/kill_and_resume.py [DATASET] [KILLS]
"""

import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from cervbench.records.store import Store


def command(dataset: str, out: Path) -> list[str]:
    asked = ["--method", "simclr", "--dataset", dataset, "--tier", "smoke", "--folds", "0", "--device", "cpu"]
    return [sys.executable, "-m", "cervbench", "run", *asked, "--out", str(out)]


def started(dataset: str, home: Path) -> "subprocess.Popen[bytes]":
    """The run in a home of its own, with a checkpoint after every step."""
    home.mkdir(exist_ok=True)
    environment = {**os.environ, "CERVBENCH_CACHE": str(home / "cache"), "CERVBENCH_CHECKPOINT_SECONDS": "0"}
    with (home / "log").open("wb") as log:
        return subprocess.Popen(command(dataset, home / "out"), env=environment, stdout=log, stderr=log)


def ended(run: "subprocess.Popen[bytes]", home: Path, seconds: float | None = None) -> None:
    """Wait for a run; one that fails says why."""
    if run.wait(seconds) != 0:
        sys.exit((home / "log").read_text("utf-8"))


def results(home: Path) -> Sequence[tuple[str, object, object]]:
    store = Store(home / "out")
    return [(r.id, r.predictions, r.scores) for r in map(store.record, store.paths())]


def main(dataset: str, kills: int) -> None:
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        calm = Path(folder, "calm")
        clock = time.perf_counter()
        ended(started(dataset, calm), calm)
        whole = time.perf_counter() - clock
        print(f"undisturbed: {len(results(calm))} records in {whole:.0f} s")
        done = 0
        for number in itertools.count():
            rough = Path(folder, f"rough-{number}")
            done += disturbed(dataset, rough, kills - done, rng, whole)
            same = results(calm) == results(rough)
            print(f"{done} kills so far; ids, predictions and scores: {'identical' if same else 'DIFFERENT'}")
            if not same or done == kills:
                sys.exit(not same)


def disturbed(dataset: str, home: Path, most: int, rng: random.Random, whole: float) -> int:
    """Kill one run again and again until it got done in between; how often that was."""
    for kills in range(most):
        run = started(dataset, home)
        moment = rng.uniform(0.1, 0.35) * whole
        try:
            ended(run, home, moment)
            return kills
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            run.wait()
        steps = [path.name for path in (home / "cache").glob("pretrainings/*/**/step-*")]
        print(f"killed after {moment:.1f} s: {len(results(home))} records, checkpoints {steps}", flush=True)
    ended(started(dataset, home), home)
    return most


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "herlev", int(sys.argv[2]) if len(sys.argv) > 2 else 10)
