"""Kill a run with `kill -9` at ten random moments, resume it, and compare it with an undisturbed one.

CERVBENCH_DATA=../shared/data python scripts/kill_and_resume.py [DATASET] [KILLS]
"""

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
    asked = ["--method", "simclr", "--dataset", dataset, "--tier", "smoke", "--folds", "0"]
    return [sys.executable, "-m", "cervbench", "run", *asked, "--out", str(out)]


def started(dataset: str, home: Path) -> "subprocess.Popen[bytes]":
    """The run in a home of its own, with a checkpoint after every step."""
    environment = {**os.environ, "CERVBENCH_CACHE": str(home / "cache"), "CERVBENCH_CHECKPOINT_SECONDS": "0"}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command(dataset, home / "out"), env=environment, stdout=quiet, stderr=quiet)


def results(home: Path) -> Sequence[tuple[str, object, object]]:
    return [(r.id, r.predictions, r.scores) for r in Store(home / "out").records()]


def main(dataset: str, kills: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        calm, rough = Path(folder, "calm"), Path(folder, "rough")
        clock = time.perf_counter()
        assert started(dataset, calm).wait() == 0, "the undisturbed run failed"
        whole = time.perf_counter() - clock
        print(f"undisturbed: {len(results(calm))} records in {whole:.0f} s")
        rng = random.Random(0)
        done = 0
        while done < kills:
            run = started(dataset, rough)
            moment = rng.uniform(0.15, 0.6) * whole
            try:
                run.wait(moment)
                print("the run ended before its kill: everything was done")
                break
            except subprocess.TimeoutExpired:
                run.send_signal(signal.SIGKILL)
                run.wait()
            done += 1
            steps = [path.name for path in (rough / "cache").glob("pretrainings/*/**/step-*")]
            print(f"kill {done} after {moment:.1f} s: {len(results(rough))} records, checkpoints {steps}")
        assert started(dataset, rough).wait() == 0, "the resumed run failed"
        same = results(calm) == results(rough)
        print(f"{done} kills; ids, predictions and scores are {'identical' if same else 'DIFFERENT'}")
        sys.exit(not same)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "herlev", int(sys.argv[2]) if len(sys.argv) > 2 else 10)
